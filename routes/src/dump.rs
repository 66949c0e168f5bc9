//! The JSON of a VM's `?recursive=true`, read and completed by paths of the metadata server.

use crate::depth;
use crate::schema::{self, Rule};
use crate::tree::{Segments, Tree};
use serde_json::{Map, Value};

/// A dump of a VM, whose values are found by the paths at which they are served.
///
/// ```
/// use gce_metadata_routes::Dump;
/// use serde_json::json;
///
/// let mut dump = Dump::new(json!({"instance": {"cpuPlatform": "Intel Broadwell"}}));
/// assert_eq!(dump.get("instance/cpu-platform").unwrap(), "Intel Broadwell");
/// assert!(dump.insert("instance/machine-type", "e2-medium".into()));
/// assert_eq!(dump.json()["instance"]["machineType"], "e2-medium");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Dump(Value);

impl Dump {
    /// The JSON of `/computeMetadata/v1/?recursive=true`.
    pub fn new(v1: Value) -> Self {
        Self(v1)
    }

    /// The dump as JSON, which is a config.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// The value at a path below `/computeMetadata/v1/`, with or without a slash at its end.
    pub fn get(&self, path: &str) -> Option<&Value> {
        let path = segments(path);
        path.iter().enumerate().try_fold(&self.0, |value, (depth, segment)| match value {
            Value::Object(object) => object.get(&key_of(object, &path[..depth], segment)?),
            Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Sets the value at a path. Missing directories are created, and a new key is spelled as in GCE's JSON. Returns false, without any
    /// change, if a dump can't have the path: it leads through a value, or past the end of a list, has a spelling that no key is served
    /// at, or nests deeper than [`Tree::MAX_DEPTH`] allows.
    pub fn insert(&mut self, path: &str, value: Value) -> bool {
        let segments = segments(path);
        let room = Tree::MAX_DEPTH.checked_sub(segments.len());
        if room.is_none_or(|levels| depth::beyond(&value, levels).is_some()) {
            return false;
        }
        let mut changed = self.clone();
        let place = segments
            .iter()
            .enumerate()
            .try_fold(&mut changed.0, |value, (depth, segment)| child(value, &segments[..depth], segment));
        let Some(place) = place else { return false };
        *place = value.clone();
        let is_served = changed.get(path) == Some(&value);
        if is_served {
            *self = changed;
        }
        is_served
    }
}

/// The value of a segment in the directory at this path. A missing one is created as null.
fn child<'a>(value: &'a mut Value, directory: &[&str], segment: &str) -> Option<&'a mut Value> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(object) => {
            let key = key_of(object, directory, segment).unwrap_or_else(|| new_key(object, directory, segment));
            Some(object.entry(key).or_insert(Value::Null))
        }
        Value::Array(items) => {
            let index = segment.parse::<usize>().ok()?;
            if index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(index)
        }
        _ => None,
    }
}

/// The key that is served at this segment.
fn key_of(object: &Map<String, Value>, directory: &[&str], segment: &str) -> Option<String> {
    let segments = Segments::of(object, directory);
    object.keys().find(|key| *segments.of_key(key) == *segment).cloned()
}

fn new_key(object: &Map<String, Value>, directory: &[&str], segment: &str) -> String {
    let camel = schema::camel_case(segment);
    let is_camel = !schema::is(directory, Rule::UserKeys) && schema::kebab_case(&camel) == segment;
    if is_camel && !object.contains_key(&camel) { camel } else { segment.to_owned() }
}

fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

/// Attributes hold secrets.
impl std::fmt::Debug for Dump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dump").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_found_by_their_paths() {
        let dump = Dump::new(json!({"instance": {
            "attributes": {"sshKeys": "a", "ssh-keys": "b"}, "networkInterfaces": [{"ipAliases": ["c"]}],
            "fooBar": "d", "foo-bar": "e",
        }}));
        for (path, value) in [
            ("instance/attributes/sshKeys", "a"),
            ("instance/attributes/ssh-keys", "b"),
            ("instance/network-interfaces/0/ip-aliases/0", "c"),
            ("instance/fooBar", "d"),
            ("instance/foo-bar", "e"),
        ] {
            assert_eq!(dump.get(path).unwrap(), value, "{path}");
        }
        assert!(dump.get("instance/attributes/").unwrap().is_object());
        for path in ["instance/networkInterfaces", "instance/network-interfaces/1", "instance/fooBar/x"] {
            assert_eq!(dump.get(path), None, "{path}");
        }
    }

    #[test]
    fn inserted_values_have_gces_keys_and_user_keys_are_kept() {
        let mut dump = Dump::new(json!({"instance": {"credentials": {}, "disks": [{}]}}));
        for path in [
            "instance/credentials/mds-client-certificate",
            "instance/disks/0/device-name",
            "instance/disks/1/index",
            "instance/guest-attributes/my-space/my-key",
            "instance/odd_key/key",
        ] {
            assert!(dump.insert(path, "v".into()), "{path}");
            assert_eq!(dump.get(path).unwrap(), "v", "{path}");
        }
        assert_eq!(
            *dump.json(),
            json!({"instance": {
                "credentials": {"mdsClientCertificate": "v"}, "disks": [{"deviceName": "v"}, {"index": "v"}],
                "guestAttributes": {"my-space": {"my-key": "v"}}, "odd_key": {"key": "v"},
            }})
        );
    }

    #[test]
    fn nothing_is_inserted_where_no_key_is_served() {
        let before = json!({"instance": {"id": 1, "disks": []}});
        let mut dump = Dump::new(before.clone());
        let deep = "a/".repeat(Tree::MAX_DEPTH + 1);
        for path in ["instance/id/x", "instance/disks/1", "instance/disks/x", "instance/Odd-key", &deep] {
            assert!(!dump.insert(path, 1.into()), "{path}");
        }
        assert_eq!(*dump.json(), before);
    }
}
