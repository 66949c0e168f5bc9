//! Converts the values of an edit to GCE's types, and finds keys that GCE is not known to have.
//!
//! A config keeps its types, so that the dump of a VM is served unchanged. An edit is made by a program, which may have a boolean, a
//! number, or a number in a string.

use super::expect;
use crate::schema::{self, Rule};
use serde_json::Value;

/// Converts a new value or merge patch for this path to GCE's types. Returns the paths of the keys that GCE is not known to have,
/// without the keys below those.
pub(crate) fn conform(value: &mut Value, path: &[&str]) -> Vec<String> {
    if let Some(depth) = (1..=path.len()).find(|depth| !schema::is_known(&path[..*depth])) {
        return vec![path[..depth].join("/")];
    }
    let mut unknown = Vec::new();
    visit(value, path, &mut unknown);
    unknown
}

/// The same for a value at a path whose keys are all known.
fn visit(value: &mut Value, path: &[&str], unknown: &mut Vec<String>) {
    if let Some(expected) = expect::at(path) {
        expected.convert(value);
    }
    match value {
        // The schema has no keys of documents.
        _ if schema::is(path, Rule::Document) || schema::is(path, Rule::JsonByDefault) => {}
        Value::Object(object) => {
            for (key, child) in object {
                let segment = schema::segment(path, key);
                let path_of_child = [path, &[&segment]].concat();
                if schema::is_known_key(path, key) {
                    visit(child, &path_of_child, unknown);
                } else if !child.is_null() {
                    // Null would remove the key in a merge patch.
                    unknown.push(path_of_child.join("/"));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, &[path, &[&index.to_string()]].concat(), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn converted(path: &str, mut value: Value) -> Value {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        assert_eq!(conform(&mut value, &segments), [""; 0], "{path}");
        value
    }

    #[test]
    fn values_get_the_type_that_gce_has() {
        for (path, given, wanted) in [
            ("instance/preempted", json!(true), json!("TRUE")),
            ("instance/scheduling/preemptible", json!(false), json!("FALSE")),
            ("instance/id", json!("18446744073709551615"), json!(u64::MAX)),
            ("instance/remaining-cpu-time", json!("-1"), json!(-1)),
            ("instance/network-interfaces/0/mtu", json!("1460"), json!(1460)),
            ("instance/licenses/0/id", json!(5), json!("5")),
            ("instance/hostname", json!(7), json!("7")),
            ("instance/zone", json!(7), json!("7")),
            ("instance/tags", json!(["a", 1]), json!(["a", "1"])),
            ("instance/network-interfaces/0/forwarded-ips", json!([1]), json!(["1"])),
            ("instance/attributes/x", json!(5), json!("5")),
            ("project/attributes/x", json!(true), json!("true")),
            ("instance/guest-attributes/ns/key", json!(0.5), json!("0.5")),
        ] {
            assert_eq!(converted(path, given), wanted, "{path}");
        }
        let everything = json!({"instance": {"PREEMPTED": true, "attributes": {"aKey": 1}, "disks": [{"index": "3"}]}});
        let wanted = json!({"instance": {"PREEMPTED": "TRUE", "attributes": {"aKey": "1"}, "disks": [{"index": 3}]}});
        assert_eq!(converted("", everything), wanted);
    }

    #[test]
    fn a_value_is_kept_if_its_conversion_would_lose_information() {
        for (path, value) in [
            ("instance/id", json!("007")),
            ("instance/id", json!("+7")),
            ("instance/id", json!("-7")),
            ("instance/id", json!("18446744073709551616")),
            ("instance/id", json!(0.5)),
            ("instance/preempted", json!("true")),
            ("instance/preempted", json!(1)),
            ("instance/preempted", json!(null)),
            ("instance/attributes/x", json!(null)),
            ("instance/attributes/x", json!({"a": 5})),
            ("instance/maintenance-event", json!(true)),
            ("instance/partner-attributes/x", json!(5)),
            ("instance/upcoming-maintenance", json!({"can_reschedule": true, "windowEndTime": 1})),
            ("instance/workload-identities", json!({"status": 5})),
            ("instance/tags", json!("one")),
        ] {
            assert_eq!(converted(path, value.clone()), value, "{path}");
        }
    }

    #[test]
    fn unknown_keys_are_found_and_user_keys_are_not() {
        let unknown = |path: &str, mut value: Value| conform(&mut value, &path.split('/').collect::<Vec<_>>());
        assert_eq!(unknown("instance/preemptd", json!(true)), ["instance/preemptd"]);
        assert_eq!(unknown("odd/name/x", json!({"odder": 1})), ["odd"]);
        assert_eq!(unknown("instance/disks/0", json!({"odd": 1, "mode": "x"})), ["instance/disks/0/odd"]);
        assert_eq!(
            unknown("instance", json!({"odd": {"x": 1}, "gone": null, "disks": [{}, {"oddKey": 1}], "Name": "vm"})),
            ["instance/disks/1/odd-key", "instance/odd"]
        );
        let account = json!({"a@example.com": {"email": "a@example.com", "odd": 1}});
        assert_eq!(unknown("instance/service-accounts", account), ["instance/service-accounts/a@example.com/odd"]);
        for path in ["attributes/my-key", "attributes/a/b", "partner-attributes/x/y", "guest-attributes/ns/key"] {
            assert_eq!(unknown(&format!("instance/{path}"), json!("x")), [""; 0]);
        }
        assert_eq!(unknown("project/attributes", json!({"mine": {"own": 1}})), [""; 0]);
    }
}
