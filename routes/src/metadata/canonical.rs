//! JSON as GCE would have written it: keys in GCE's own case, objects and lists where the schema has them.

use crate::schema::{self, Rule};
use serde_json::{Map, Value};
use std::mem;

/// Why JSON is no VM's metadata, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", display(path))]
pub struct MetadataError {
    path: Vec<String>,
    problem: String,
}

impl MetadataError {
    pub(super) fn new(path: &[String], problem: impl Into<String>) -> Self {
        Self { path: path.to_vec(), problem: problem.into() }
    }

    /// Where in the JSON: the keys that lead there, an index as `[0]`. Empty for the whole document.
    pub fn path(&self) -> &[String] {
        &self.path
    }
}

/// The path as jq writes it, but for its first dot: `instance.disks[0].mode`.
fn display(path: &[String]) -> String {
    if path.is_empty() { ".".to_owned() } else { path.join(".").replace(".[", "[") }
}

/// Gives GCE's keys their own case and refuses what can't be the node that its place says it is. `segments` is the place in
/// the tree, `path` the place in the JSON.
pub(super) fn canonicalize(value: &mut Value, segments: &[&str], path: &mut Vec<String>) -> Result<(), MetadataError> {
    let is = |rule| schema::is(segments, rule);
    // What the Go emulator writes for an object or a list that it was not given.
    if value.is_null() && is(Rule::Object) {
        *value = Value::Object(Map::new());
    } else if value.is_null() && is(Rule::ListDirectory) {
        *value = Value::Array(Vec::new());
    }
    if is(Rule::Object) && !value.is_object() {
        return Err(MetadataError::new(path, format!("an object is expected, not {}", kind(value))));
    }
    if is(Rule::ListDirectory) && !value.is_array() {
        return Err(MetadataError::new(path, format!("a list is expected, not {}", kind(value))));
    }
    if is(Rule::Text) && !value.is_string() {
        return Err(MetadataError::new(path, format!("a string is expected, not {}", kind(value))));
    }
    match value {
        // Its keys are its own.
        _ if is(Rule::Document) => Ok(()),
        Value::Object(object) => canonicalize_object(object, segments, path),
        Value::Array(items) => {
            // Rules are about lists, never about one index, so any segment stands for all of them.
            let segments = [segments, &["0"]].concat();
            items.iter_mut().enumerate().try_for_each(|(index, item)| {
                path.push(format!("[{index}]"));
                canonicalize(item, &segments, path)?;
                path.pop();
                Ok(())
            })
        }
        _ => Ok(()),
    }
}

fn canonicalize_object(
    object: &mut Map<String, Value>,
    segments: &[&str],
    path: &mut Vec<String>,
) -> Result<(), MetadataError> {
    let is_users = schema::is(segments, Rule::UserKeys);
    let is_gces = !is_users && schema::is_known(segments);
    let as_written = mem::take(object);
    let written_keys: Vec<String> = as_written.keys().cloned().collect();
    for (written, mut value) in as_written {
        // A key in another case gives way where GCE's own stands beside it.
        let is_taken = |key: &str| written_keys.iter().any(|other| other == key) || object.contains_key(key);
        let key = match schema::canonical_key(&written) {
            Some(known) if is_gces && !is_taken(known) => known.to_owned(),
            _ => written.clone(),
        };
        let segment = if is_users { key.clone() } else { schema::kebab_case(&key) };
        path.push(written);
        canonicalize(&mut value, &[segments, &[&segment]].concat(), path)?;
        path.pop();
        object.insert(key, value);
    }
    Ok(())
}

pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use crate::Metadata;
    use serde_json::{Value, json};

    #[test]
    fn case_is_forgiven_in_gces_keys_only() {
        let metadata = Metadata::from_json(json!({"instance": {
            "shutdownDetails": {"TargetState": "UNKNOWN"}, "attributes": {"Name": "kept"}, "NAME": "vm", "odd": {"NAME": 1},
        }}));
        let tree = metadata.unwrap().tree();
        let json: Value = serde_json::from_slice(&tree.get("").unwrap().json()).unwrap();
        assert_eq!(
            json["instance"],
            json!({"attributes": {"Name": "kept"}, "name": "vm", "odd": {"NAME": 1}, "shutdownDetails": {"targetState": "UNKNOWN"}})
        );
    }

    #[test]
    fn two_spellings_of_one_key_both_stay() {
        let tree = Metadata::from_json(json!({"instance": {"id": 1, "ID": 2}})).unwrap().tree();
        let json: Value = serde_json::from_slice(&tree.get("instance").unwrap().json()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 2);
    }

    #[test]
    fn null_is_empty_where_it_is_known_what_of() {
        let tree = Metadata::from_json(json!({"instance": {"attributes": null, "disks": null}})).unwrap().tree();
        assert_eq!(tree.get("instance").unwrap().json(), r#"{"attributes":{},"disks":[]}"#);
    }
}
