//! The schema of faults: stub mappings of WireMock with the members of this server.

use serde_json::{Value, json};

/// A UUID.
const ID: &str = "^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$";

/// The words of storage-testbench.
const INSTRUCTION: &str = "^(return-[45][0-9][0-9]|return-reset-connection|return-empty-response|\
    return-broken-stream(-after-[0-9]+[BK])?|return-corrupted-data|stall-for-[0-9]+s(-after-[0-9]+[BK])?|stall-always)$";

pub(super) fn instruction() -> Value {
    json!({"type": "string", "pattern": INSTRUCTION})
}

fn count(least: u64) -> Value {
    json!({"type": ["integer", "null"], "minimum": least})
}

fn share() -> Value {
    json!({"type": ["number", "null"], "minimum": 0, "maximum": 1})
}

/// A member is `null` if it is not set, as WireMock's clients send it.
pub(super) fn fault() -> Value {
    let id = json!({"type": ["string", "null"], "pattern": ID});
    let is_given = |name: &str| json!({"required": [name], "properties": {name: {"not": {"type": "null"}}}});
    let (response, instructions) = (is_given("response"), is_given("instructions"));
    let counted = ["succeedFirst", "failRequestCount", "failEvery"].map(is_given);
    let quota = ["quotaLimit", "quotaWindowMillis"].map(is_given);
    json!({
        "type": "object",
        "additionalProperties": false,
        "oneOf": [response, instructions],
        "if": instructions,
        "then": {"not": {"anyOf": counted}},
        "allOf": [{"anyOf": [{"allOf": quota}, {"not": {"anyOf": quota}}]}],
        "properties": {
            "id": id,
            "uuid": id,
            "name": {"type": ["string", "null"], "description": "A name for the journal and for errors"},
            "priority": {"type": ["integer", "null"], "minimum": 1, "description": "1 is tried first; the default is 5"},
            "at": {"enum": ["request", "source", null], "description": "`source` fails the token source below the cache"},
            "request": {"anyOf": [{"$ref": "#/$defs/request"}, {"type": "null"}]},
            "response": {"anyOf": [{"$ref": "#/$defs/response"}, {"type": "null"}]},
            "instructions": {
                "description": "A word for each request",
                "anyOf": [
                    {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/instruction"}},
                    {"type": "null"},
                ],
            },
            "succeedFirst": count(0),
            "failRequestCount": count(1),
            "failEvery": count(1),
            "probability": share(),
            "seed": count(0),
            "outageAfterMillis": count(0),
            "outageDurationMillis": count(0),
            "quotaLimit": count(0),
            "quotaWindowMillis": count(1),
            "timeToLive": count(0),
            "metadata": {"type": ["object", "null"]},
            "persistent": true,
        },
    })
}

pub(super) fn string_pattern() -> Value {
    let operators = ["equalTo", "contains", "matches", "doesNotMatch", "absent"];
    json!({
        "type": "object",
        "additionalProperties": false,
        "oneOf": operators.map(|operator| json!({"required": [operator]})),
        "dependentRequired": {"caseInsensitive": ["equalTo"]},
        "properties": {
            "equalTo": {"type": "string"},
            "contains": {"type": "string"},
            "matches": {"type": "string", "maxLength": 4096},
            "doesNotMatch": {"type": "string", "maxLength": 4096},
            "absent": {"const": true},
            "caseInsensitive": {"type": "boolean"},
        },
    })
}

pub(super) fn request() -> Value {
    let urls = ["path", "url", "urlPath", "urlPattern", "urlPathPattern"];
    let one = urls.map(|name| json!({"required": [name]}));
    let patterns = json!({"type": "object", "additionalProperties": {"$ref": "#/$defs/stringPattern"}});
    json!({
        "type": "object",
        "additionalProperties": false,
        "anyOf": [{"oneOf": one}, {"not": {"anyOf": one}}],
        "properties": {
            "method": {"type": "string"},
            "path": {
                "type": "string",
                "description": "Below /computeMetadata/v1/, or with a slash first; * is any name",
            },
            "url": {"type": "string"},
            "urlPath": {"type": "string"},
            "urlPattern": {"type": "string", "maxLength": 4096},
            "urlPathPattern": {"type": "string", "maxLength": 4096},
            "queryParameters": patterns,
            "headers": patterns,
            "clientIp": {"$ref": "#/$defs/stringPattern"},
            "account": {"$ref": "#/$defs/stringPattern"},
        },
    })
}

pub(super) fn response() -> Value {
    let amount = json!({"type": "number", "minimum": 0});
    let distribution = |kind: &str, required: &[&str], properties: Value| {
        let mut schema = json!({"type": "object", "required": required, "additionalProperties": false});
        schema["properties"] = properties;
        schema["properties"]["type"] = json!({"const": kind});
        schema
    };
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "status": {"type": ["integer", "null"], "minimum": 200, "maximum": 599},
            "headers": {
                "type": ["object", "null"],
                "additionalProperties": {
                    "anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}],
                },
            },
            "body": {"type": ["string", "null"]},
            "jsonBody": true,
            "base64Body": {"type": ["string", "null"]},
            "fixedDelayMilliseconds": {"type": ["integer", "null"], "minimum": 0},
            "delayDistribution": {
                "anyOf": [
                    {"type": "null"},
                    distribution(
                        "lognormal",
                        &["type", "median", "sigma"],
                        json!({"median": amount, "sigma": amount, "maxValue": amount}),
                    ),
                    distribution("uniform", &["type", "lower", "upper"], json!({"lower": amount, "upper": amount})),
                    distribution(
                        "fixed",
                        &["type", "milliseconds"],
                        json!({"milliseconds": {"type": "integer", "minimum": 0}}),
                    ),
                ],
            },
            "chunkedDribbleDelay": {
                "type": ["object", "null"],
                "required": ["numberOfChunks", "totalDuration"],
                "additionalProperties": false,
                "properties": {
                    "numberOfChunks": {"type": "integer", "minimum": 1},
                    "totalDuration": {"type": "integer", "minimum": 0},
                },
            },
            "truncateBodyAtFraction": share(),
            "malformedBody": {"type": ["boolean", "null"]},
            "fault": {"enum": ["CONNECTION_RESET_BY_PEER", "EMPTY_RESPONSE", null]},
            "proxyBaseUrl": {"enum": ["http://metadata.google.internal", "http://metadata.google.internal/", null]},
        },
    })
}
