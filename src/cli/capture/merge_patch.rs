//! The difference between two JSON values as a merge patch (RFC 7396).

use serde_json::{Map, Value};

/// The merge patch that makes `after` of `before`; `None` if they are equal. A list is replaced as a whole. A member that becomes null is
/// removed, because a merge patch can't set null.
pub(super) fn between(before: &Value, after: &Value) -> Option<Value> {
    if before == after {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (before, after) else { return Some(after.clone()) };
    let mut patch = Map::new();
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in after {
        let difference = match before.get(name) {
            Some(before) => between(before, value),
            None => Some(value.clone()),
        };
        if let Some(difference) = difference {
            patch.insert(name.clone(), difference);
        }
    }
    Some(patch.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 7396, section 2.
    fn apply(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut members = if let Value::Object(members) = target { members } else { Map::new() };
        for (name, value) in patch {
            match (value, members.remove(name)) {
                (Value::Null, _) => {}
                (value, before) => _ = members.insert(name.clone(), apply(before.unwrap_or_default(), value)),
            }
        }
        members.into()
    }

    #[test]
    fn a_patch_makes_the_second_value_of_the_first() {
        let values = [
            json!({}),
            json!({"a": "1"}),
            json!({"a": "2", "b": {"c": 1, "d": [1, 2]}}),
            json!({"a": {"x": {}}, "b": {"c": 1, "d": [1]}}),
            json!({"b": {"d": [], "e": {"f": false}}}),
            json!({"b": {}}),
            json!({"b": [{"c": 1}]}),
        ];
        for before in &values {
            for after in &values {
                match between(before, after) {
                    Some(patch) => assert_eq!(apply(before.clone(), &patch), *after, "{before} {patch}"),
                    None => assert_eq!(before, after),
                }
            }
        }
    }

    #[test]
    fn a_patch_has_the_changed_members_only() {
        let before = json!({"instance": {"preempted": "FALSE", "tags": ["a"], "attributes": {"old": "1", "same": "2"}}, "project": {}});
        let after =
            json!({"instance": {"preempted": "TRUE", "tags": ["a"], "attributes": {"same": "2"}}, "project": {}});
        let patch = json!({"instance": {"preempted": "TRUE", "attributes": {"old": null}}});
        assert_eq!(between(&before, &after), Some(patch));
    }
}
