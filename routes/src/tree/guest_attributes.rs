//! Guest attributes: what the guest itself has written, under `instance/guest-attributes/NAMESPACE/KEY`.

use super::edit::{Edit, EditError};
use super::{Dir, Leaf, Node, Tree, Visibility};
use crate::metadata::{MetadataError, Walk};
use crate::schema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

const PLACE: &str = "instance/guest-attributes";
/// How many segments that has.
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
    /// The most bytes that a guest may give a namespace or a key.
    pub const MAX_NAME_BYTES: usize = 128;
    /// The most bytes that it may give a value.
    pub const MAX_VALUE_BYTES: usize = 256 * 1024;
    /// The most bytes that it may write in all, names included.
    pub const MAX_BYTES: usize = 512 * 1024;

    /// Reads what stands at `guestAttributes` of a config: `{"NAMESPACE": {"KEY": "VALUE"}}`.
    ///
    /// # Errors
    /// If it is anything else; the error names the place, from there on, and no value.
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

    /// Removes a key, and its namespace with the last one. Says whether it was there.
    pub fn remove(&mut self, namespace: &str, key: &str) -> bool {
        let Some(keys) = self.0.get_mut(namespace) else { return false };
        let was_there = keys.remove(key).is_some();
        if was_there && keys.is_empty() {
            self.0.remove(namespace);
        }
        was_there
    }

    /// The same changes made to others: what was written or removed since there was `before` stands over `onto`.
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

/// A guest may write secrets.
impl fmt::Debug for GuestAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(namespace, keys)| (namespace, keys.keys().collect::<Vec<_>>()));
        f.debug_map().entries(names).finish()
    }
}

/// Whether a patch to what is at this path says something of guest attributes.
pub(super) fn are_named(patch: &Value, path: &[&str]) -> bool {
    let mut segments = PLACE.split('/');
    if path.iter().any(|segment| segments.next().is_some_and(|place| place != *segment)) {
        return false;
    }
    let mut patch = patch;
    for segment in segments {
        match patch.as_object().map(|patch| patch.get(&schema::camel_case(segment))) {
            // It replaces them with all the rest.
            None => return true,
            Some(None) => return false,
            Some(Some(below)) => patch = below,
        }
    }
    true
}

impl Tree {
    /// Whether only a guest knows of guest attributes here: the config has none.
    pub(super) fn hides_guest_attributes(&self) -> bool {
        let mut node = &self.root;
        PLACE.split('/').any(|segment| {
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

    /// How many bytes they have, names included.
    pub(crate) fn guest_attribute_bytes(&self) -> usize {
        let bytes = |keys| values(keys).map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.namespaces().map(|(name, keys)| name.len() + bytes(keys)).sum()
    }

    fn namespaces(&self) -> impl Iterator<Item = (&str, &Dir)> {
        self.get(PLACE).into_iter().flat_map(|node| directories(node))
    }

    /// The tree with these guest attributes and no others. Seen from above it is the same tree.
    ///
    /// # Errors
    /// If the tree has no place for them.
    pub fn with_guest_attributes(&self, attributes: &GuestAttributes) -> Result<Self, EditError> {
        let namespaces = attributes.0.iter().map(|(namespace, keys)| {
            let values = keys.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
            (namespace.clone(), values.collect::<Value>())
        });
        // A VM has them whether or not its config does, so writing one shows nothing that was not shown before.
        self.with_visibility(PLACE, &namespaces.collect::<Value>(), Visibility::Nowhere)
    }

    /// The tree with this value for one of them, sharing all the others.
    pub(crate) fn with_guest_attribute(&self, namespace: &str, key: &str, value: String) -> Result<Self, EditError> {
        let leaf = Arc::new(Node::Leaf(Leaf::text_by_default(value)));
        self.edit_guest_attributes(&format!("{PLACE}/{namespace}/{key}"), |edit, place| {
            edit.put(place, DEPTH, leaf, Visibility::Everywhere)
        })
    }

    /// The tree without one of them, nor its namespace if it was the last one there.
    pub(crate) fn without_guest_attribute(&self, namespace: &str, key: &str) -> Result<Self, EditError> {
        let is_last = self
            .namespaces()
            .any(|(name, keys)| name == namespace && keys.entries.len() == 1 && keys.entries.contains_key(key));
        let removed = if is_last { format!("{PLACE}/{namespace}") } else { format!("{PLACE}/{namespace}/{key}") };
        self.edit_guest_attributes(&removed, |edit, place| edit.remove(place, DEPTH))
    }

    fn edit_guest_attributes(
        &self,
        path: &str,
        edit: impl FnOnce(&Edit<'_>, &Node) -> Result<Arc<Node>, EditError>,
    ) -> Result<Self, EditError> {
        let place = self.get(PLACE).ok_or_else(|| EditError::NotFound { path: path.to_owned() })?;
        self.with_node(PLACE, edit(&Edit::new(path)?, place)?, Visibility::Nowhere)
    }
}

/// The directories in a directory.
fn directories(node: &Node) -> impl Iterator<Item = (&str, &Dir)> {
    let dir = if let Node::Dir(dir) = node { Some(dir) } else { None };
    dir.into_iter().flat_map(Dir::entries).filter_map(|(name, node)| match &**node {
        Node::Dir(dir) => Some((name, dir)),
        _ => None,
    })
}

/// The texts in a directory.
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
    fn bytes_are_those_of_names_and_values() {
        let bytes = |attributes| tree(json!({"instance": {"guestAttributes": attributes}})).guest_attribute_bytes();
        assert_eq!(bytes(json!({})), 0);
        assert_eq!(bytes(json!({"ns": {"k": "é", "kk": ""}})), 2 + 1 + 2 + 2);
    }

    #[test]
    fn one_is_written_and_removed_as_all_are() {
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
    fn no_value_is_printed() {
        assert_eq!(format!("{:?}", of(&[("ns", "a", "hidden"), ("ns", "b", "")])), r#"{"ns": ["a", "b"]}"#);
        for wrong in [json!("hidden"), json!({"ns": "hidden"}), json!({"ns": {"a": ["hidden"]}})] {
            assert!(!GuestAttributes::from_json(wrong).unwrap_err().to_string().contains("hidden"));
        }
        assert_eq!(GuestAttributes::from_json(json!({"ns": {"a": "1"}})), Ok(of(&[("ns", "a", "1")])));
    }

    #[test]
    fn a_namespace_goes_with_its_last_key() {
        let mut attributes = of(&[("ns", "a", "1"), ("ns", "b", "2")]);
        assert!(attributes.remove("ns", "a") && !attributes.remove("ns", "a") && !attributes.remove("other", "a"));
        assert!(attributes.remove("ns", "b"));
        assert_eq!(attributes, of(&[]));
    }

    #[test]
    fn what_was_written_stands_over_what_a_config_has() {
        let before = of(&[("c", "kept", "1"), ("c", "changed", "1"), ("c", "written", "1"), ("c", "removed", "1")]);
        let now = of(&[("c", "kept", "1"), ("c", "changed", "1"), ("c", "written", "w"), ("g", "new", "w")]);
        let onto = of(&[("c", "changed", "2"), ("c", "written", "2"), ("c", "removed", "2"), ("c", "added", "2")]);
        let rebased = of(&[("c", "changed", "2"), ("c", "written", "w"), ("c", "added", "2"), ("g", "new", "w")]);
        assert_eq!(now.rebased(&before, &onto), rebased);
        assert_eq!(now.rebased(&before, &before), now);
    }

    #[test]
    fn from_above_nothing_of_them_is_seen() {
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
    fn a_patch_from_above_leaves_them_alone() {
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
            assert!(str::from_utf8(&above).unwrap().contains(r#""guestAttributes":{}"#), "they are the owner's now");
            for nothing in [json!({"instance": null}), json!({"instance": {"guestAttributes": null}})] {
                assert_eq!(tree.with_merged("", &nothing).unwrap().guest_attributes(), of(&[]));
            }
        }
    }

    #[test]
    fn a_config_says_what_a_guest_could_have_written() {
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
