//! Guest attributes: values that guests write, at `instance/guest-attributes/NAMESPACE/KEY`.

use super::edit::{Edit, EditError};
use super::{Dir, Leaf, Node, Tree, Visibility};
use crate::metadata::{MetadataError, Walk};
use crate::schema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const DIRECTORY: &str = "instance/guest-attributes";
/// The number of segments of `DIRECTORY`.
const DEPTH: usize = 2;

/// The guest attributes of a VM: values by namespace and key.
///
/// ```
/// use gce_metadata_routes::{GuestAttributes, Metadata};
///
/// let mut attributes = GuestAttributes::default();
/// attributes.set("hostkeys", "ssh-ed25519", "AAAA");
/// let tree = Metadata::sample().tree().with_guest_attributes(&attributes).unwrap();
/// assert_eq!(tree.text("instance/guest-attributes/hostkeys/ssh-ed25519").unwrap(), "AAAA");
/// assert_eq!(tree.guest_attributes(), attributes);
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct GuestAttributes(BTreeMap<String, BTreeMap<String, String>>);

impl GuestAttributes {
    /// The limit on a namespace or a key that a guest writes, in bytes.
    pub const MAX_NAME_BYTES: usize = 128;
    /// The limit on a value that a guest writes, in bytes.
    pub const MAX_VALUE_BYTES: usize = 256 * 1024;
    /// The limit on all guest attributes of a VM, including their names, in bytes.
    pub const MAX_BYTES: usize = 512 * 1024;

    /// Reads guest attributes from the JSON of `guestAttributes`: `{"NAMESPACE": {"KEY": "VALUE"}}`.
    ///
    /// # Errors
    /// If the JSON has another shape. The error has the path within the JSON, and no value.
    pub fn from_json(attributes: Value) -> Result<Self, MetadataError> {
        let (mut walk, mut read) = (Walk::default(), Self::default());
        let attributes = walk.bounded(attributes).unwrap_or_default();
        walk.each_key(attributes, |walk, namespace, keys| {
            walk.each_key(keys, |walk, key, value| {
                walk.text(value).into_iter().for_each(|value| read.set(namespace, key, value));
            });
        });
        walk.first_error().map_or(Ok(read), Err)
    }

    /// The value of a key.
    pub fn get(&self, namespace: &str, key: &str) -> Option<&str> {
        self.0.get(namespace)?.get(key).map(String::as_str)
    }

    /// Sets the value of a key.
    pub fn set(&mut self, namespace: &str, key: &str, value: impl Into<String>) {
        self.0.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.into());
    }

    /// Removes a key, and its namespace if that is empty then. Returns whether the key existed.
    pub fn remove(&mut self, namespace: &str, key: &str) -> bool {
        let Some(keys) = self.0.get_mut(namespace) else { return false };
        let was_there = keys.remove(key).is_some();
        if was_there && keys.is_empty() {
            self.0.remove(namespace);
        }
        was_there
    }

    /// Applies the writes and removals since `before` to `onto`.
    pub(super) fn rebased(&self, before: &Self, onto: &Self) -> Self {
        let mut rebased = onto.clone();
        for (namespace, key, value) in self.iter() {
            if before.get(namespace, key) != Some(value) {
                rebased.set(namespace, key, value);
            }
        }
        for (namespace, key, _) in before.iter() {
            if self.get(namespace, key).is_none() {
                rebased.remove(namespace, key);
            }
        }
        rebased
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.0
            .iter()
            .flat_map(|(namespace, keys)| keys.iter().map(move |(key, value)| (&**namespace, &**key, &**value)))
    }
}

/// Prints names only: values may be secret.
impl fmt::Debug for GuestAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(namespace, keys)| (namespace, keys.keys().collect::<Vec<_>>()));
        f.debug_map().entries(names).finish()
    }
}

/// Whether a merge patch for the node at this path changes guest attributes.
pub(super) fn are_named(patch: &Value, path: &[&str]) -> bool {
    let mut segments = DIRECTORY.split('/');
    if path.iter().any(|segment| segments.next().is_some_and(|place| place != *segment)) {
        return false;
    }
    let mut patch = patch;
    for segment in segments {
        match patch.as_object().map(|patch| patch.get(&schema::camel_case(segment))) {
            // A patch that is no object replaces the whole node.
            None => return true,
            Some(None) => return false,
            Some(Some(below)) => patch = below,
        }
    }
    true
}

impl Tree {
    /// Whether guest attributes are hidden from above, because the config has none.
    pub(super) fn hides_guest_attributes(&self) -> bool {
        let mut node = &self.root;
        DIRECTORY.split('/').any(|segment| {
            let Node::Dir(dir) = &**node else { return false };
            let Some(entry) = dir.entries.get(segment) else { return false };
            node = &entry.node;
            entry.visibility == Visibility::Nowhere
        })
    }

    /// The guest attributes in the tree.
    pub fn guest_attributes(&self) -> GuestAttributes {
        let values = |keys: &Dir| values(keys).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        GuestAttributes(self.namespaces().map(|(name, keys)| (name.to_owned(), values(keys))).collect())
    }

    /// The number of bytes of all guest attributes, including their names.
    pub(crate) fn guest_attribute_bytes(&self) -> usize {
        let bytes = |keys| values(keys).map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.namespaces().map(|(name, keys)| name.len() + bytes(keys)).sum()
    }

    fn namespaces(&self) -> impl Iterator<Item = (&str, &Dir)> {
        self.get(DIRECTORY).into_iter().flat_map(|node| directories(node))
    }

    /// Returns the tree with its guest attributes replaced. Listings and recursion of the directories above do not change.
    ///
    /// # Errors
    /// If the tree has a value at or above `instance/guest-attributes`.
    pub fn with_guest_attributes(&self, attributes: &GuestAttributes) -> Result<Self, EditError> {
        let namespaces = attributes.0.iter().map(|(namespace, keys)| {
            let values = keys.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            (namespace.clone(), values.collect::<Value>())
        });
        // Each VM has the directory, so a write must not make it visible if the config does not have it.
        self.with_visibility(DIRECTORY, &namespaces.collect::<Value>(), Visibility::Nowhere)
    }

    /// The tree with this value of one guest attribute. All others are shared.
    pub(crate) fn with_guest_attribute(&self, namespace: &str, key: &str, value: String) -> Result<Self, EditError> {
        let leaf = Arc::new(Node::Leaf(Leaf::text_by_default(value)));
        self.edit_guest_attributes(&format!("{DIRECTORY}/{namespace}/{key}"), |edit, place| {
            edit.put(place, DEPTH, leaf, Visibility::Everywhere)
        })
    }

    /// The tree without this guest attribute, and without its namespace if that is empty then.
    pub(crate) fn without_guest_attribute(&self, namespace: &str, key: &str) -> Result<Self, EditError> {
        let is_last = self
            .namespaces()
            .any(|(name, keys)| name == namespace && keys.entries.len() == 1 && keys.entries.contains_key(key));
        let removed =
            if is_last { format!("{DIRECTORY}/{namespace}") } else { format!("{DIRECTORY}/{namespace}/{key}") };
        self.edit_guest_attributes(&removed, |edit, place| edit.remove(place, DEPTH))
    }

    fn edit_guest_attributes(
        &self,
        path: &str,
        edit: impl FnOnce(&Edit<'_>, &Node) -> Result<Arc<Node>, EditError>,
    ) -> Result<Self, EditError> {
        let place = self.get(DIRECTORY).ok_or_else(|| EditError::NotFound { path: path.to_owned() })?;
        self.with_node(DIRECTORY, edit(&Edit::new(path)?, place)?, Visibility::Nowhere)
    }
}

/// The subdirectories of a directory.
fn directories(node: &Node) -> impl Iterator<Item = (&str, &Dir)> {
    let dir = if let Node::Dir(dir) = node { Some(dir) } else { None };
    dir.into_iter().flat_map(Dir::entries).filter_map(|(name, node)| match &**node {
        Node::Dir(dir) => Some((name, dir)),
        _ => None,
    })
}

/// The leaves of a directory whose value is a string.
fn values(dir: &Dir) -> impl Iterator<Item = (&str, &str)> {
    dir.entries().filter_map(|(name, node)| match &**node {
        Node::Leaf(leaf) => Some((name, leaf.value().as_str()?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use serde_json::json;

    fn of(entries: &[(&str, &str, &str)]) -> GuestAttributes {
        let mut attributes = GuestAttributes::default();
        entries.iter().for_each(|(namespace, key, value)| attributes.set(namespace, key, *value));
        attributes
    }

    fn tree(v1: Value) -> Tree {
        Metadata::from_json(v1).unwrap().tree()
    }

    #[test]
    fn the_size_includes_names_and_values() {
        let bytes = |attributes| tree(json!({"instance": {"guestAttributes": attributes}})).guest_attribute_bytes();
        assert_eq!(bytes(json!({})), 0);
        assert_eq!(bytes(json!({"ns": {"k": "é", "kk": ""}})), 2 + 1 + 2 + 2);
    }

    #[test]
    fn writing_one_attribute_equals_replacing_all() {
        for v1 in [json!({"instance": {"guestAttributes": {}}}), json!({"instance": {}}), json!({"project": {}})] {
            let mut tree = tree(v1);
            let mut wanted = of(&[]);
            let all_at_once = tree.clone();
            for (namespace, key) in [("camelCase", "a"), ("camelCase", "b"), ("ns", "a-Key"), ("ns", "a-Key")] {
                wanted.set(namespace, key, "value");
                tree = tree.with_guest_attribute(namespace, key, "value".into()).unwrap();
                assert_eq!(tree, all_at_once.with_guest_attributes(&wanted).unwrap());
            }
            for (namespace, key) in [("camelCase", "b"), ("ns", "a-Key"), ("camelCase", "a")] {
                assert!(wanted.remove(namespace, key));
                tree = tree.without_guest_attribute(namespace, key).unwrap();
                assert_eq!(tree, all_at_once.with_guest_attributes(&wanted).unwrap());
            }
            assert!(matches!(tree.without_guest_attribute("ns", "k"), Err(EditError::NotFound { .. })));
        }
    }

    #[test]
    fn debug_output_and_errors_have_no_values() {
        assert_eq!(format!("{:?}", of(&[("ns", "a", "hidden"), ("ns", "b", "")])), r#"{"ns": ["a", "b"]}"#);
        for wrong in [json!("hidden"), json!({"ns": "hidden"}), json!({"ns": {"a": ["hidden"]}})] {
            assert!(!GuestAttributes::from_json(wrong).unwrap_err().to_string().contains("hidden"));
        }
        assert_eq!(GuestAttributes::from_json(json!({"ns": {"a": "1"}})), Ok(of(&[("ns", "a", "1")])));
    }

    #[test]
    fn a_namespace_is_removed_with_its_last_key() {
        let mut attributes = of(&[("ns", "a", "1"), ("ns", "b", "2")]);
        assert!(attributes.remove("ns", "a") && !attributes.remove("ns", "a") && !attributes.remove("other", "a"));
        assert!(attributes.remove("ns", "b"));
        assert_eq!(attributes, of(&[]));
    }

    #[test]
    fn rebasing_applies_writes_and_removals_to_the_new_config() {
        let before = of(&[("c", "kept", "1"), ("c", "changed", "1"), ("c", "written", "1"), ("c", "removed", "1")]);
        let now = of(&[("c", "kept", "1"), ("c", "changed", "1"), ("c", "written", "w"), ("g", "new", "w")]);
        let onto = of(&[("c", "changed", "2"), ("c", "written", "2"), ("c", "removed", "2"), ("c", "added", "2")]);
        let rebased = of(&[("c", "changed", "2"), ("c", "written", "w"), ("c", "added", "2"), ("g", "new", "w")]);
        assert_eq!(now.rebased(&before, &onto), rebased);
        assert_eq!(now.rebased(&before, &before), now);
    }

    #[test]
    fn guest_attributes_do_not_change_the_directories_above() {
        for v1 in [
            json!({"instance": {"id": 1, "guestAttributes": {}}}),
            json!({"instance": {"id": 1}}),
            json!({"project": {}}),
        ] {
            let before = tree(v1);
            let after = before.with_guest_attributes(&of(&[("ns", "k", "v")])).unwrap();
            for path in ["", "instance"] {
                let (before, after) = (before.get(path).unwrap(), after.get(path).unwrap());
                assert_eq!(
                    (before.json(), before.text(), before.listing()),
                    (after.json(), after.text(), after.listing())
                );
            }
            let own = after.get("instance/guest-attributes").unwrap();
            assert_eq!(
                (&*own.json(), &*own.text(), &*own.listing()),
                (&b"{\"ns\":{\"k\":\"v\"}}"[..], &b"ns/k v\n"[..], &b"ns/\n"[..])
            );
            assert_eq!(after.with_guest_attributes(&of(&[])).unwrap(), before);
        }
    }

    #[test]
    fn a_merge_patch_for_a_directory_above_keeps_guest_attributes() {
        for v1 in [json!({"instance": {"guestAttributes": {}}}), json!({"instance": {}}), json!({"project": {}})] {
            let written = of(&[("ns", "k", "v")]);
            let tree = tree(v1).with_guest_attributes(&written).unwrap();
            assert_eq!(tree.with_merged("", &json!({})).unwrap(), tree);
            for (path, patch) in [("", json!({"instance": {"name": "vm"}})), ("instance", json!({"name": "vm"}))] {
                assert_eq!(tree.with_merged(path, &patch).unwrap().guest_attributes(), written);
            }
            let more = tree.with_merged("instance/guest-attributes", &json!({"ns": {"l": "w"}})).unwrap();
            assert_eq!(more.guest_attributes(), of(&[("ns", "k", "v"), ("ns", "l", "w")]));
            let above = more.get("instance").unwrap().json();
            assert!(
                str::from_utf8(&above).unwrap().contains(r#""guestAttributes":{}"#),
                "an edit makes the directory visible"
            );
            for nothing in [json!({"instance": null}), json!({"instance": {"guestAttributes": null}})] {
                assert_eq!(tree.with_merged("", &nothing).unwrap().guest_attributes(), of(&[]));
            }
        }
    }

    #[test]
    fn guest_attributes_of_the_wrong_type_in_a_config_are_an_error() {
        let error = |v1| Metadata::from_json(v1).unwrap_err().to_string();
        let attributes = |attributes: Value| json!({"instance": {"guestAttributes": attributes}});
        assert_eq!(
            error(attributes(json!({"ns": 1}))),
            "instance.guestAttributes.ns: an object is expected, not a number"
        );
        let problem = "instance.guestAttributes.ns.k: a string is expected, not an object";
        assert_eq!(error(attributes(json!({"ns": {"k": {}}}))), problem);
    }
}
