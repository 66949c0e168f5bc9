//! What was changed in a tree, changed in another one: how edits outlive a new state of the file that they were made over.
//!
//! The JSON is merged and not the nodes, so that what a VM always has, what is computed and how it is all shown is as it would
//! be if somebody had written that JSON.

use super::{GuestAttributes, Tree};
use crate::metadata::Metadata;
use crate::schema::{self, Rule};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// One account has several names, below which its values must not differ.
const ACCOUNTS: [&str; 2] = ["instance", "service-accounts"];

impl Tree {
    /// Another tree with what has been changed in this one since it was `before`. Where the other one differs from `before` too,
    /// it is right, but for what guests have written. The service accounts count as one value, and so does a list, unless
    /// its length is the same in all three.
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
        // Fails where an embedder has a computed leaf in their place.
        tree.with_guest_attributes(&guests).unwrap_or(tree)
    }

    /// The JSON of all but what guests have written.
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
            // A directory that the other one has no more goes, but not what was put into it.
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
