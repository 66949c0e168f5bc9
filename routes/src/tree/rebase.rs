//! Rebases run-time edits onto a reloaded config, by a three-way merge.
//!
//! It merges JSON instead of nodes, so that defaults, computed leaves and visibilities are those of a tree that is built from the merged
//! JSON.

use super::{GuestAttributes, Tree};
use crate::metadata::Metadata;
use crate::schema::{self, Rule};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Merged as one value: an account has several names, and its values must not differ between them.
const ACCOUNTS: [&str; 2] = ["instance", "service-accounts"];

impl Tree {
    /// Applies the changes between `before` and this tree to `onto`: a three-way merge.
    ///
    /// If both sides changed a value, that of `onto` is kept, except for guest attributes. The service accounts are merged as one value, and
    /// so is a list, unless its length is the same in all three trees.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let of = |project: &str| Metadata::from_json(json!({"project": {"projectId": project, "attributes": {}}})).unwrap().tree();
    /// let edited = of("old").with("project/attributes/colour", &json!("green")).unwrap();
    /// let rebased = edited.rebased(&of("old"), &of("new"));
    /// assert_eq!(rebased.text("project/project-id").unwrap(), "new");
    /// assert_eq!(rebased.text("project/attributes/colour").unwrap(), "green");
    /// ```
    #[expect(clippy::expect_used, reason = "each tree has a root")]
    #[must_use]
    pub fn rebased(&self, before: &Self, onto: &Self) -> Self {
        let [edited, was, is] = [self, before, onto].map(Self::of_owner);
        let tree = if edited == was {
            onto.clone()
        } else if is == was {
            self.clone()
        } else {
            let root = merged(Some(&edited), Some(&was), Some(&is), &[]);
            Metadata::complete(root.expect("a root that is in each tree is in the merged one")).tree()
        };
        let os_login = if onto.os_login == before.os_login { &self.os_login } else { &onto.os_login };
        let tree = tree.with_os_login(os_login.clone());
        let guests = self.guest_attributes().rebased(&before.guest_attributes(), &onto.guest_attributes());
        // Fails if an embedder has added a computed leaf at this path.
        tree.with_guest_attributes(&guests).unwrap_or(tree)
    }

    /// The owner's JSON without guest attributes.
    fn of_owner(&self) -> Value {
        let without = self.with_guest_attributes(&GuestAttributes::default());
        without.as_ref().unwrap_or(self).root.owner_json()
    }
}

fn merged(edited: Option<&Value>, before: Option<&Value>, onto: Option<&Value>, path: &[&str]) -> Option<Value> {
    if edited == before {
        return onto.cloned();
    }
    if onto == before {
        return edited.cloned();
    }
    if path == ACCOUNTS || schema::is(path, Rule::ObjectLeaf) || schema::is(path, Rule::JsonByDefault) {
        return onto.cloned();
    }
    match (edited, before, onto) {
        (Some(Value::Object(edited)), Some(Value::Object(before)), Some(Value::Object(onto))) => {
            Some(objects(edited, before, onto, path))
        }
        (Some(Value::Object(edited)), None, Some(Value::Object(onto))) => {
            Some(objects(edited, &Map::new(), onto, path))
        }
        (Some(Value::Object(edited)), Some(Value::Object(before)), None) => {
            // A directory that `onto` has removed is removed, except for added entries.
            let added = edited.iter().filter(|(key, _)| !before.contains_key(*key));
            let added: Map<_, _> = added.map(|(key, value)| (key.clone(), value.clone())).collect();
            (!added.is_empty()).then_some(Value::Object(added))
        }
        (Some(Value::Array(edited)), Some(Value::Array(before)), Some(Value::Array(onto)))
            if edited.len() == before.len() && onto.len() == before.len() =>
        {
            let path = [path, &["0"]].concat();
            let item = |((edited, before), onto)| merged(Some(edited), Some(before), Some(onto), &path);
            Some(edited.iter().zip(before).zip(onto).filter_map(item).collect())
        }
        (_, _, onto) => onto.cloned(),
    }
}

fn objects(
    edited: &Map<String, Value>,
    before: &Map<String, Value>,
    onto: &Map<String, Value>,
    path: &[&str],
) -> Value {
    let keys: BTreeSet<_> = edited.keys().chain(onto.keys()).collect();
    let members = keys.into_iter().filter_map(|key| {
        let segment = if schema::is(path, Rule::UserKeys) { key.to_owned() } else { schema::kebab_case(key) };
        let path = [path, &[segment.as_str()]].concat();
        Some((key.clone(), merged(edited.get(key), before.get(key), onto.get(key), &path)?))
    });
    Value::Object(members.collect())
}

#[cfg(test)]
mod tests;
