//! The JSON Schema of a simulation file, by which editors complete its members. The parsers are written by hand; a test compares them with
//! the schema.

mod fault;
mod scenario;

use serde_json::{Value, json};

/// Durations as text, as `gce_metadata_support::duration` reads them.
const DURATION: &str = "^([0-9]+|([0-9]+(d|h|m|s|ms))+)$";

/// The largest delay in milliseconds: a day.
const DAY: u32 = 24 * 3600 * 1000;

pub(super) fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Simulation of gce-metadata-server",
        "type": "object",
        "required": ["version"],
        "additionalProperties": false,
        "properties": {
            "$schema": {"type": "string"},
            "version": {"const": 1},
            "faults": {"type": "array", "items": {"$ref": "#/$defs/fault"}},
            "scenarios": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,100}$"},
                "additionalProperties": {"$ref": "#/$defs/scenario"},
            },
            "run": {"type": "array", "items": {"$ref": "#/$defs/run"}},
            "settings": {"$ref": "#/$defs/settings"},
        },
        "$defs": {
            "duration": {"anyOf": [{"type": "string", "pattern": DURATION}, {"type": "integer", "minimum": 0}]},
            "stringPattern": fault::string_pattern(),
            "request": fault::request(),
            "response": fault::response(),
            "instruction": fault::instruction(),
            "fault": fault::fault(),
            "scenario": scenario::scenario(),
            "state": scenario::state(),
            "run": scenario::run(),
            "settings": settings(),
        },
    })
}

fn settings() -> Value {
    let milliseconds = json!({"type": "integer", "minimum": 0, "maximum": DAY});
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "rateLimits": {"type": ["boolean", "null"], "description": "Enforce the rate limits of GCE"},
            "withoutMaintenance": {"enum": ["none", "empty", "unavailable", null]},
            "ready": {"type": ["boolean", "null"], "description": "Whether clients reach the server"},
            "notReady": {"enum": ["refuse", "503", "hang", null]},
            "fixedDelay": {
                "anyOf": [milliseconds, {"type": "null"}],
                "description": "Delay of every answer, in milliseconds",
            },
            "delayDistribution": {
                "description": "Random delay of every answer, in milliseconds",
                "anyOf": [
                    {"type": "null"},
                    {
                        "type": "object",
                        "required": ["type", "median", "sigma"],
                        "additionalProperties": false,
                        "properties": {
                            "type": {"const": "lognormal"},
                            "median": {"type": "number", "minimum": 0, "maximum": DAY},
                            "sigma": {"type": "number", "minimum": 0},
                        },
                    },
                    {
                        "type": "object",
                        "required": ["type", "lower", "upper"],
                        "additionalProperties": false,
                        "properties": {"type": {"const": "uniform"}, "lower": milliseconds, "upper": milliseconds},
                    },
                ],
            },
        },
    })
}
