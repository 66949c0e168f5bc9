//! JSON merge patches (RFC 7396), applied to a tree.

use super::edit::{ACCOUNTS, Edit, EditError, conform, segments};
use super::{Dir, GuestAttributes, Node, Tree, Visibility, build, guest_attributes};
use crate::metadata::Metadata;
use crate::schema::{self, Rule};
use serde_json::Value;

/// A patch with more members is applied to the whole directory: each single edit would copy the map of its entries.
const MAX_SINGLE_EDITS: usize = 16;

impl Tree {
    /// Returns the tree with a JSON merge patch (RFC 7396) applied to the node at this path: each key of an object sets a value, or removes
    /// it if it is null; a patch that is no object replaces the node. Keys are JSON keys, such as `maintenanceEvent`. An empty path is
    /// the whole tree. Values of the patch are converted, and new keys logged, as by [`with`](Self::with).
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"instance": {"attributes": {"a": "1", "b": "2"}}})).unwrap().tree();
    /// let patched = tree.with_merged("instance", &json!({"attributes": {"a": null, "c": "3"}})).unwrap();
    /// assert_eq!(patched.get("instance/attributes").unwrap().json(), r#"{"b":"2","c":"3"}"#);
    /// ```
    ///
    /// # Errors
    /// If there can be no such value at the path: see [`EditError`].
    pub fn with_merged(&self, path: &str, patch: &Value) -> Result<Self, EditError> {
        let segments = segments(path);
        let (patch, unknown) = conform(path, &segments, patch)?;
        let tree = if self.hides_guest_attributes() && !guest_attributes::are_named(&patch, &segments) {
            let without = self.with_guest_attributes(&GuestAttributes::default())?;
            without.merged(path, patch)?.with_guest_attributes(&self.guest_attributes())?
        } else {
            self.merged(path, patch)?
        };
        self.warn_of_new(&unknown);
        Ok(tree)
    }

    /// Applies a converted patch, to guest attributes too.
    fn merged(&self, path: &str, patch: Value) -> Result<Self, EditError> {
        match self.merged_by_member(path, &patch) {
            Some(tree) => Ok(tree),
            None => self.merged_as_whole(path, patch),
        }
    }

    /// Applies a patch of a directory to its members one by one, so that all other nodes are shared. `None` if the result could differ
    /// from that of [`merged_as_whole`](Self::merged_as_whole), or if that has to report an error.
    fn merged_by_member(&self, path: &str, patch: &Value) -> Option<Self> {
        let members = patch.as_object().filter(|members| (1..=MAX_SINGLE_EDITS).contains(&members.len()))?;
        let directory = segments(path);
        // The accounts are completed together.
        if directory.starts_with(&ACCOUNTS) {
            return None;
        }
        let dir = self.visible_dir(&directory)?;
        let mut tree = self.clone();
        for (key, value) in members {
            let segment = schema::segment(&directory, key);
            let entry = dir.entries.get(&*segment);
            let is_plain = match entry {
                Some(entry) => {
                    let is_shown = entry.visibility == Visibility::Everywhere && *entry.node != Node::Computed;
                    is_shown && *entry.json_key == **key
                }
                None => {
                    let is_spelled = schema::is(&directory, Rule::UserKeys) || schema::camel_case(&segment) == **key;
                    is_spelled && dir.entries.values().all(|entry| *entry.json_key != **key)
                }
            };
            if !is_plain || !build::is_addressable(&segment) {
                return None;
            }
            let path = [directory.as_slice(), &[segment.as_str()]].concat().join("/");
            tree = match (value, entry) {
                (Value::Null, None) => tree,
                (Value::Null, Some(_)) => tree.without(&path).ok()?,
                _ => tree.merged(&path, value.clone()).ok()?,
            };
        }
        Some(tree)
    }

    /// The open directory at this path, if the owner's JSON has it and the directories above it.
    fn visible_dir(&self, path: &[&str]) -> Option<&Dir> {
        path.iter().try_fold(open_dir(&self.root)?, |dir, segment| {
            let entry = dir.entries.get(*segment).filter(|entry| entry.visibility == Visibility::Everywhere)?;
            open_dir(&entry.node)
        })
    }

    /// Applies a patch to the JSON of the node at this path, and builds the node again.
    fn merged_as_whole(&self, path: &str, mut patch: Value) -> Result<Self, EditError> {
        let mut value = self.owner_json(path).unwrap_or_default();
        align(&mut value, &mut patch, &segments(path));
        json_patch::merge(&mut value, &patch);
        match Edit::new(path) {
            Ok(_) => self.replaced(path, value),
            Err(EditError::Root) if value.is_object() => {
                let unfit = |error| EditError::Unfit { path: path.into(), error };
                let everything = Metadata::complete(Metadata::checked(value, &[]).map_err(unfit)?).tree();
                Ok(everything.with_os_login(self.os_login.clone()))
            }
            Err(error) => Err(error),
        }
    }
}

fn open_dir(node: &Node) -> Option<&Dir> {
    match node {
        Node::Dir(dir) if !dir.is_closed => Some(dir),
        _ => None,
    }
}

/// Brings the value at this path and its patch to the same shape, for objects that the tree stores in another one.
fn align(value: &mut Value, patch: &mut Value, path: &[&str]) {
    if schema::is(path, Rule::ObjectLeaf) {
        *patch = build::snake_cased(patch.take());
    } else if schema::is(path, Rule::Document) {
        let written = value.as_str().filter(|_| patch.is_object()).map(serde_json::from_str);
        if let Some(Ok(object @ Value::Object(_))) = written {
            *value = object;
        }
    } else if let (Value::Object(value), Value::Object(patch)) = (value, patch) {
        for (key, patch) in patch {
            let Some(value) = value.get_mut(key) else { continue };
            let segment = if schema::is(path, Rule::UserKeys) { key.clone() } else { schema::kebab_case(key) };
            align(value, patch, &[path, &[&segment]].concat());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, json};
    use std::sync::Arc;

    fn vm() -> Tree {
        Tree::from_json(&json!({
            "instance": {
                "attributes": {"a": "1", "fooBar": "1", "foo-bar": "2"},
                "disks": [{"mode": "READ_WRITE"}],
                "guestAttributes": {"ns": {"key": "value"}},
                "preempted": "FALSE",
                "upcomingMaintenance": {"type": "SCHEDULED"},
                "serviceAccounts": {"default": {"aliases": ["default"], "email": "a@example.com", "scopes": []},
                    "a@example.com": {"aliases": ["default"], "email": "a@example.com", "scopes": []}},
            },
            "project": {"attributes": {}, "numericProjectId": 1, "projectId": "b"},
        }))
    }

    /// Patches with keys that the tree has, that it has defaults for, and others.
    fn patches() -> impl Strategy<Value = Value> {
        let key = prop::sample::select(vec![
            "instance",
            "project",
            "attributes",
            "a",
            "b",
            "fooBar",
            "foo-bar",
            "disks",
            "serviceAccounts",
            "default",
            "email",
            "scopes",
            "token",
            "preempted",
            "scheduling",
            "preemptible",
            "virtualClock",
            "driftToken",
            "guestAttributes",
            "ns",
            "key",
            "upcomingMaintenance",
            "type",
            "projectId",
            "numericProjectId",
            "a/b",
            "",
        ]);
        let leaf = prop_oneof![
            Just(json!(null)),
            Just(json!("x")),
            Just(json!("1")),
            Just(json!(2)),
            Just(json!([])),
            Just(json!(["y"]))
        ];
        let members = move |inner| prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..4);
        leaf.prop_recursive(4, 20, 4, move |inner| {
            members(inner).prop_map(|members| Value::Object(Map::from_iter(members)))
        })
    }

    proptest! {
        #[test]
        fn a_patch_of_single_members_equals_the_patch_of_the_whole(
            patch in patches(),
            path in prop::sample::select(vec!["", "instance", "project", "instance/attributes", "instance/virtual-clock", "instance/none"]),
        ) {
            let tree = vm();
            if let Some(merged) = tree.merged_by_member(path, &patch) {
                prop_assert_eq!(Ok(merged), tree.merged_as_whole(path, patch));
            }
        }
    }

    #[test]
    fn a_patch_shares_the_nodes_that_it_does_not_change() {
        let tree = vm();
        let patch = json!({"instance": {"attributes": {"a": "2", "b": "3", "fooBar": null}, "preempted": "TRUE"}});
        let patched = tree.with_merged("", &patch).unwrap();
        for path in ["project", "instance/disks", "instance/service-accounts", "instance/attributes/foo-bar"] {
            assert!(Arc::ptr_eq(tree.get(path).unwrap(), patched.get(path).unwrap()), "{path}");
        }
        assert_eq!(patched.get("instance/attributes").unwrap().json(), r#"{"a":"2","b":"3","foo-bar":"2"}"#);
        assert_eq!(patched.text("instance/preempted").unwrap(), "TRUE");
    }
}
