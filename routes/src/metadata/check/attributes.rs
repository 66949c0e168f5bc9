//! Checks of attributes and guest attributes: their names and sizes.

use crate::metadata::walk::{self, Walk};
use crate::tree::{GuestAttributes, is_addressable};
use serde_json::{Map, Value};

/// Limits of Compute Engine's API, in bytes: of a key, of a value, of all keys and values.
const MAX_KEY_BYTES: usize = 127;
const MAX_VALUE_BYTES: usize = 256 * 1024;
const MAX_BYTES: usize = 512 * 1024;

pub(super) fn all(walk: &mut Walk, attributes: &Map<String, Value>) {
    let all = bytes(attributes);
    if all >= MAX_BYTES {
        walk.warn(format!("{all} bytes of keys and values, of which GCE takes less than {MAX_BYTES}: remove some"));
    }
}

pub(super) fn one(walk: &mut Walk, key: &str, value: &Value) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.is_empty() || !key.bytes().all(is_plain) {
        walk.warn("GCE takes keys of letters, digits, `-` and `_` only: rename it");
    }
    if key.len() > MAX_KEY_BYTES {
        walk.warn(format!("a key of {} bytes, of which GCE takes {MAX_KEY_BYTES} at most: shorten it", key.len()));
    }
    match value.as_str().map(str::len) {
        None => walk.warn(format!(
            "{} is no string, and the guest agent refuses a VM's metadata for that: put it in quotes",
            walk::kind(value)
        )),
        Some(length) if length > MAX_VALUE_BYTES => {
            walk.warn(format!("a value of {length} bytes, of which GCE takes {MAX_VALUE_BYTES} at most: shorten it"));
        }
        Some(_) => {}
    }
}

pub(super) fn all_of_guest(walk: &mut Walk, namespaces: &Map<String, Value>) {
    const MAX: usize = GuestAttributes::MAX_BYTES;
    let all: usize = namespaces.iter().map(|(name, keys)| name.len() + keys.as_object().map_or(0, bytes)).sum();
    if all > MAX {
        walk.warn(format!("{all} bytes of names and values, of which a guest can write {MAX} at most: remove some"));
    }
}

/// Checks a namespace, or a key with its value.
pub(super) fn of_guest(walk: &mut Walk, name: &str, value: &Value) {
    const MAX_NAME: usize = GuestAttributes::MAX_NAME_BYTES;
    const MAX_VALUE: usize = GuestAttributes::MAX_VALUE_BYTES;
    if !is_addressable(name) {
        walk.warn("no URL can carry this name, so no guest can have written it: rename it");
    }
    if name.len() > MAX_NAME {
        let length = name.len();
        walk.warn(format!("a name of {length} bytes, of which a guest can write {MAX_NAME} at most: shorten it"));
    }
    if let Some(length) = value.as_str().map(str::len).filter(|length| *length > MAX_VALUE) {
        walk.warn(format!("a value of {length} bytes, of which a guest can write {MAX_VALUE} at most: shorten it"));
    }
}

/// The number of bytes of keys and values.
fn bytes(keys: &Map<String, Value>) -> usize {
    let of = |value: &Value| value.as_str().map_or_else(|| value.to_string().len(), str::len);
    keys.iter().map(|(key, value)| key.len() + of(value)).sum()
}

#[cfg(test)]
mod tests {
    use crate::metadata::check::tests::{findings, warning};
    use serde_json::json;

    #[test]
    fn an_attribute_over_a_limit_is_a_warning() {
        assert!(warning(json!({"attributes": {"a.b": ""}})).starts_with("instance.attributes.a.b: GCE takes keys of"));
        assert!(warning(json!({"attributes": {"k".repeat(128): ""}})).contains("a key of 128 bytes"));
        assert!(
            warning(json!({"attributes": {"db-password": 12_345_678}}))
                .starts_with("instance.attributes.db-password: a number is no")
        );
        let at = |length: usize| json!({"attributes": {"a": "v".repeat(length)}});
        assert_eq!(findings(at(262_144)), []);
        assert!(warning(at(262_145)).contains("a value of 262145 bytes"));
        let two = |length| json!({"attributes": {"a": "v".repeat(262_144), "b": "v".repeat(length)}});
        assert_eq!(findings(two(262_141)), []);
        assert!(warning(two(262_142)).starts_with("instance.attributes: 524288 bytes"));
    }

    #[test]
    fn a_guest_attribute_over_a_limit_is_a_warning() {
        let at = |namespace: &str, key: &str, length: usize| json!({"guestAttributes": {namespace: {key: "v".repeat(length)}}});
        assert_eq!(findings(at(&"n".repeat(128), &"k".repeat(128), 262_144)), []);
        assert!(warning(at("n", "k", 262_145)).starts_with("instance.guestAttributes.n.k: a value of 262145 bytes"));
        assert!(warning(at("n", &"k".repeat(129), 0)).contains("a name of 129 bytes"));
        assert!(warning(at(&"n".repeat(129), "k", 0)).contains("a name of 129 bytes"));
        assert!(warning(at("n/s", "k", 0)).starts_with("instance.guestAttributes.n/s: no URL can carry this name"));
        assert!(warning(at("n", "a?b", 0)).starts_with("instance.guestAttributes.n.a?b: no URL can carry this name"));
        let two = |length| json!({"guestAttributes": {"n": {"a": "v".repeat(262_144), "b": "v".repeat(length)}}});
        assert_eq!(findings(two(262_141)), []);
        assert!(warning(two(262_142)).starts_with("instance.guestAttributes: 524289 bytes"));
    }
}
