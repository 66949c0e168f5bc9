//! The limit on the nesting of values.
//!
//! Trees are built, merged, compared, rendered and dropped recursively; serde_json does the same with JSON. Its parser limits the
//! depth, but a value that a program builds may have any depth and would overflow the stack. So each function that takes a value or a
//! path from outside checks it against [`Tree::MAX_DEPTH`] first.

use crate::tree::Tree;
use serde_json::Value;

/// The path to the first value below more than `levels` keys and indices (`[0]`); `None` if there is none. Recurses at most
/// `levels` deep.
pub(crate) fn beyond(value: &Value, levels: usize) -> Option<Vec<String>> {
    let below = |value| match levels.checked_sub(1) {
        Some(levels) => beyond(value, levels),
        None => Some(Vec::new()),
    };
    let (key, mut path) = match value {
        Value::Object(object) => object.iter().find_map(|(key, value)| below(value).map(|path| (key.clone(), path)))?,
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, item)| below(item).map(|path| (format!("[{index}]"), path)))?
        }
        _ => return None,
    };
    path.insert(0, key);
    Some(path)
}

/// Returns the value, or null with a log line if it nests deeper than `levels`. For functions that can't fail.
pub(crate) fn or_null(value: Value, levels: usize) -> Value {
    if beyond(&value, levels).is_none() {
        return value;
    }
    tracing::error!("a value nests more than {} levels deep: it is replaced by null, flatten it", Tree::MAX_DEPTH);
    dismantle(value);
    Value::Null
}

/// Drops a value of any depth without recursion; its `Drop` would recurse.
pub(crate) fn dismantle(value: Value) {
    let mut parts = vec![value];
    while let Some(part) = parts.pop() {
        match part {
            Value::Array(items) => parts.extend(items),
            Value::Object(object) => parts.extend(object.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{GuestAttributes, Metadata, OsLogin};
    use serde_json::json;

    /// Nested lists. `json!` would copy them recursively.
    pub(crate) fn nested(levels: usize) -> Value {
        (0..levels).fold(json!("leaf"), |value, _| Value::Array(vec![value]))
    }

    #[test]
    fn beyond_returns_the_path_to_the_first_value_over_the_limit() {
        let value = json!({"a": 1, "b": [{}, {"c": [2]}]});
        assert_eq!(beyond(&value, 4), None);
        assert_eq!(beyond(&value, 3).unwrap(), ["b", "[1]", "c", "[0]"]);
        assert_eq!(beyond(&value, 1).unwrap(), ["b", "[0]"]);
        assert_eq!(beyond(&json!([]), 0), None, "an empty list has no level");
        let deep = nested(100_000);
        assert_eq!(beyond(&deep, 100).unwrap().len(), 101);
        dismantle(deep);
    }

    #[test]
    fn a_value_over_the_limit_is_replaced_by_null() {
        assert_eq!(or_null(nested(100), 100), nested(100));
        assert_eq!(or_null(nested(100_000), 100), Value::Null);
    }

    #[test]
    fn deeply_nested_json_is_an_error_and_no_stack_overflow() {
        let vm = |levels| {
            let mut vm = json!({"instance": {}});
            vm["instance"]["odd"] = nested(levels);
            vm
        };
        let tree = Metadata::from_json(vm(98)).unwrap().tree();
        assert_eq!(tree.with_merged("", &json!({"instance": {"id": 1}})).unwrap().text("instance/id").unwrap(), "1");
        for levels in [99, 100_000] {
            let error = Metadata::from_json(vm(levels)).unwrap_err();
            assert_eq!((error.path().len(), &*error.path()[1]), (101, "odd"));
            assert!(error.to_string().ends_with(": nested more than 100 levels deep: flatten it"), "{error}");
            assert_eq!(Metadata::check(vm(levels)).len(), 1);
        }
        assert!(OsLogin::from_json(nested(100_000)).is_err());
        assert!(GuestAttributes::from_json(nested(100_000)).is_err());
        let built = Metadata::empty().with_instance("odd", nested(98)).with_instance("odder", nested(100_000));
        let instance: Value = serde_json::from_slice(&built.tree().get("instance").unwrap().json()).unwrap();
        assert_eq!((&instance["odd"], &instance["odder"]), (&nested(98), &Value::Null));
    }

    /// A leaf whose value is JSON may be written as a string or as JSON.
    #[test]
    fn json_in_a_string_is_parsed_unless_it_nests_too_deep() {
        let leaf = |levels| {
            let written = json!({"key": nested(levels)}).to_string();
            let v1 = json!({"instance": {"credentials": {"mdsClientCertificate": written}}});
            let tree = Metadata::from_json(v1).unwrap().tree();
            tree.get("instance/credentials/mds-client-certificate").unwrap().json()
        };
        assert!(leaf(96).starts_with(b"{\"key\":["));
        assert!(leaf(97).starts_with(b"\"{"));
    }
}
