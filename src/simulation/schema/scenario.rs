//! The schema of scenarios and their runs.

use serde_json::{Value, json};

pub(super) fn scenario() -> Value {
    json!({
        "type": "object",
        "required": ["states"],
        "additionalProperties": false,
        "properties": {
            "description": {"type": "string"},
            "states": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"$ref": "#/$defs/state"}},
            "end": {"$ref": "#/$defs/duration"},
            "keep": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Paths whose values stay when the run is over",
            },
        },
    })
}

pub(super) fn state() -> Value {
    json!({
        "type": "object",
        "required": ["state"],
        "additionalProperties": false,
        "properties": {
            "state": {"type": "string", "minLength": 1, "not": {"const": "Started"}},
            "after": {
                "$ref": "#/$defs/duration",
                "description": "Time since the state before, or since the start",
            },
            "patch": {
                "type": "object",
                "description": "A merge patch of the metadata, with the keys below v1",
                "additionalProperties": {"type": "object"},
                "properties": {"computeMetadata": false},
            },
            "faults": {"type": "array", "items": {"$ref": "#/$defs/fault"}},
            "signal": {
                "enum": ["TERM", "KILL", "STOP", "CONT", "HUP", "INT", "USR1", "USR2", "SIGTERM", "SIGKILL", "SIGSTOP", "SIGCONT",
                    "SIGHUP", "SIGINT", "SIGUSR1", "SIGUSR2"],
                "description": "A signal to the command of exec",
            },
            "reachable": {
                "enum": [true, false, "refuse", "503", "hang"],
                "description": "Whether clients reach the server in this state",
            },
        },
    })
}

pub(super) fn run() -> Value {
    json!({
        "type": "object",
        "required": ["scenario"],
        "additionalProperties": false,
        "not": {"required": ["in", "at"]},
        "properties": {
            "scenario": {"type": "string"},
            "in": {"$ref": "#/$defs/duration"},
            "at": {
                "type": "string",
                "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
            },
            "progression": {"enum": ["time", "manual", "immediate"]},
            "speed": {"type": "number", "minimum": 0.001, "maximum": 1_000_000},
            "keep": {"type": "boolean"},
            "parameters": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        },
    })
}
