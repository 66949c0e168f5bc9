//! The JSON Schema of metadata, made from the tables of the schema and of GCE's types. Editors complete keys and values by it.
//!
//! It accepts what `check-config` accepts without errors and warnings. Unknown keys are allowed, as there.

use super::expect::{self, Expected};
use crate::os_login::{KINDS, POLICIES};
use crate::schema::{self, Rule};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A directory of the patterns of both tables: children by segment; `*` is any segment.
#[derive(Default)]
struct Place {
    children: BTreeMap<&'static str, Place>,
}

impl super::Metadata {
    /// The JSON Schema (draft 2020-12) of the object of `/computeMetadata/v1/`.
    pub fn json_schema() -> Value {
        let mut root = Place::default();
        for pattern in expect::patterns().chain(schema::patterns()) {
            let segments = pattern.split('/').take_while(|segment| *segment != "**");
            segments.fold(&mut root, |place, segment| place.children.entry(segment).or_default());
        }
        of(&root, &mut Vec::new())
    }
}

impl crate::OsLogin {
    /// The JSON Schema (draft 2020-12) of the section `osLogin` of a config.
    pub fn json_schema() -> Value {
        let number = json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]+$"}]});
        let account = json!({
            "type": "object",
            "required": ["username", "uid"],
            "properties": {"username": {"type": "string"}, "uid": number, "gid": number, "primary": {"type": "boolean"}},
        });
        let profile = json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "description": "the e-mail of the user"},
                "posixAccounts": {"type": ["array", "null"], "items": account},
                "sshPublicKeys": {"additionalProperties": {"required": ["key"], "properties": {"key": {"type": "string"}}}},
                "securityKeys": {},
            },
        });
        let group = json!({
            "type": "object", "required": ["name", "gid"], "properties": {"name": {"type": "string"}, "gid": number},
        });
        let names =
            json!({"type": ["object", "null"], "additionalProperties": {"type": "array", "items": {"type": "string"}}});
        let challenge = json!({"type": "object", "required": ["type"], "properties": {"type": {"enum": KINDS}}});
        json!({
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "loginProfiles": {"type": ["array", "null"], "items": profile},
                "posixGroups": {"type": ["array", "null"], "items": group},
                "trustedCertificateAuthorities": {"type": ["array", "null"]},
                "members": names,
                "policies": {
                    "type": ["object", "null"],
                    "additionalProperties": {"type": "array", "items": {"enum": POLICIES}},
                },
                "challenges": {
                    "type": ["object", "null"],
                    "additionalProperties": {"type": "array", "items": challenge},
                },
            },
        })
    }
}

/// The schema of the value at a path of the tree.
fn of(place: &Place, path: &mut Vec<&'static str>) -> Value {
    let is = |rule| schema::is(path, rule);
    let (is_list, is_object) = (is(Rule::ListDirectory), is(Rule::Object));
    // Their values are ignored, or any JSON.
    if is(Rule::Computed) || is(Rule::Document) {
        return json!({});
    }
    let mut schema = match expect::at(path) {
        Some(expected) => typed(expected),
        None if is(Rule::Text) => json!({"type": "string"}),
        // The Go emulator writes null for an object or a list that it does not have.
        None if is_list => json!({"type": ["array", "null"]}),
        None if is_object || path.is_empty() => json!({"type": ["object", "null"]}),
        None => json!({}),
    };
    if is(Rule::JsonByDefault) && expect::at(path) == Some(Expected::Object) {
        // Also accepted as a string of JSON.
        schema = json!({"type": ["object", "string"]});
    }
    attributes(&mut schema, path);
    let is_leaf = is(Rule::ObjectLeaf);
    let mut properties = Map::new();
    for (segment, child) in &place.children {
        path.push(segment);
        let below = of(child, path);
        path.pop();
        if *segment == "*" {
            schema[if is_list { "items" } else { "additionalProperties" }] = below;
        } else if is_leaf {
            // Either spelling is read.
            properties.insert((*segment).to_owned(), below.clone());
            properties.insert(schema::camel_case(&segment.replace('_', "-")), below);
        } else {
            properties.insert(schema::camel_case(segment), below);
        }
    }
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    schema
}

/// Adds the limits of Compute Engine's API on attributes. Lengths are in bytes there, and in characters in a schema.
fn attributes(schema: &mut Value, path: &[&str]) {
    match path {
        ["instance" | "project", "attributes"] => {
            schema["propertyNames"] = json!({"pattern": "^[A-Za-z0-9_-]{1,127}$"});
        }
        ["instance" | "project", "attributes", _] => schema["maxLength"] = json!(256 * 1024),
        _ => {}
    }
}

fn typed(expected: Expected) -> Value {
    match expected {
        Expected::Object => json!({"type": "object"}),
        Expected::Text => json!({"type": "string"}),
        Expected::Unsigned => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
        Expected::Signed => json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX}),
        Expected::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Expected::OneOf(words) => json!({"enum": words}),
        Expected::Form(pattern) => json!({"type": "string", "pattern": format!("^{}$", pattern.replace('*', "[^/]*"))}),
    }
}
