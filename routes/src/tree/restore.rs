//! Parts of a merge patch, and putting single values back: for edits that are undone later, such as those of a scenario.

use super::edit::segments;
use super::{Dir, Entry, Node, RenderCache, Tree, Visibility, build};
use crate::schema::{self, Rule};
use serde_json::Value;
use std::sync::Arc;

impl Tree {
    /// Splits a merge patch of the whole tree into the paths and values that it names, in the order of its keys. A value that the tree
    /// stores as a whole, such as a list or `upcoming-maintenance`, is one part.
    ///
    /// ```
    /// use gce_metadata_routes::Tree;
    /// use serde_json::json;
    ///
    /// let patch = json!({"instance": {"preempted": "TRUE", "virtualClock": {"driftToken": "7"}}});
    /// let paths: Vec<_> = Tree::parts_of_patch(&patch).into_iter().map(|(path, _)| path).collect();
    /// assert_eq!(paths, ["instance/preempted", "instance/virtual-clock/drift-token"]);
    /// ```
    pub fn parts_of_patch(patch: &Value) -> Vec<(String, &Value)> {
        let mut parts = Vec::new();
        split(patch, &mut Vec::new(), &mut parts);
        parts
    }

    /// Whether both trees have the same node at this path, or both have none.
    pub fn has_same_at(&self, path: &str, other: &Self) -> bool {
        self.entry(path) == other.entry(path)
    }

    /// Returns the tree with the node at this path as `before` has it; without a node if `before` has none, and without directories that are
    /// empty then and that `before` does not have. If another value has replaced a directory on the path, the tree stays as it is.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let before = Metadata::sample().tree();
    /// let edited = before.with("instance/preempted", &json!("TRUE")).unwrap().with("instance/new/key", &json!(1)).unwrap();
    /// let restored = edited.restored("instance/preempted", &before).restored("instance/new/key", &before);
    /// assert_eq!(restored, before);
    /// ```
    #[must_use]
    pub fn restored(&self, path: &str, before: &Self) -> Self {
        let (now, then) = (root_entry(self), root_entry(before));
        match restored(Some(&now), Some(&then), &segments(path)) {
            Some(entry) => self.with_root(entry.node),
            None => self.clone(),
        }
    }

    /// The entry at this path. An item of a list has none.
    fn entry(&self, path: &str) -> Option<Entry> {
        segments(path).iter().try_fold(root_entry(self), |entry, segment| match &*entry.node {
            Node::Dir(dir) => dir.entries.get(*segment).cloned(),
            _ => None,
        })
    }
}

/// The root as the entry of a directory above it.
fn root_entry(tree: &Tree) -> Entry {
    Entry { json_key: "".into(), node: Arc::clone(&tree.root), visibility: Visibility::Everywhere }
}

fn split<'a>(value: &'a Value, path: &mut Vec<String>, parts: &mut Vec<(String, &'a Value)>) {
    let at: Vec<_> = path.iter().map(String::as_str).collect();
    let is_whole = [Rule::ObjectLeaf, Rule::Document, Rule::ListDirectory, Rule::JsonByDefault];
    let members = match value {
        Value::Object(members)
            if !members.is_empty()
                && at.len() < Tree::MAX_DEPTH
                && !is_whole.into_iter().any(|rule| schema::is(&at, rule)) =>
        {
            members
        }
        _ => return parts.push((path.join("/"), value)),
    };
    let names: Vec<_> = members.keys().map(|key| schema::segment(&at, key)).collect();
    // A name that no path can have is patched with the directory.
    if !names.iter().all(|name| build::is_addressable(name)) {
        return parts.push((path.join("/"), value));
    }
    for (name, value) in names.into_iter().zip(members.values()) {
        path.push(name);
        split(value, path, parts);
        path.pop();
    }
}

/// The entry at the start of a path, with the entry at its end as it was before.
fn restored(now: Option<&Entry>, then: Option<&Entry>, path: &[&str]) -> Option<Entry> {
    let Some((segment, rest)) = path.split_first() else { return then.cloned() };
    let entry = now?;
    let Node::Dir(dir) = &*entry.node else { return Some(entry.clone()) };
    let dir_then = then.and_then(|entry| match &*entry.node {
        Node::Dir(dir) => Some(dir),
        _ => None,
    });
    let mut entries = dir.entries.clone();
    match restored(entries.get(*segment), dir_then.and_then(|dir| dir.entries.get(*segment)), rest) {
        Some(child) => _ = entries.insert((*segment).into(), child),
        None => _ = entries.remove(*segment),
    }
    if entries.is_empty() && then.is_none() {
        return None;
    }
    let node = Node::Dir(Dir { entries, is_closed: dir.is_closed, cache: RenderCache::default() });
    // The directory of a default is hidden again.
    match then {
        Some(then) if *then.node == node => Some(then.clone()),
        _ => Some(Entry { node: Arc::new(node), ..entry.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Metadata, Tree};
    use serde_json::{Value, json};

    fn paths(patch: &Value) -> Vec<String> {
        Tree::parts_of_patch(patch).into_iter().map(|(path, _)| path).collect()
    }

    #[test]
    fn a_patch_is_split_into_the_values_that_the_tree_stores() {
        let patch = json!({
            "instance": {"attributes": {"myKey": null}, "disks": [{"index": 0}], "upcomingMaintenance": {"type": "SCHEDULED"}, "Preempted": "TRUE"},
            "project": {"attributes": {}},
        });
        let expected = ["attributes/myKey", "disks", "preempted", "upcoming-maintenance"];
        let mut found = paths(&patch);
        assert_eq!(found.pop().as_deref(), Some("project/attributes"));
        found.sort();
        assert_eq!(found, expected.map(|path| format!("instance/{path}")));
        assert_eq!(paths(&json!({"instance": {"attributes": {"a/b": "1", "c": "2"}}})), ["instance/attributes"]);
        assert_eq!(paths(&json!({})), [""]);
    }

    #[test]
    fn a_restored_default_is_hidden_again() {
        let before = Metadata::from_json(json!({"project": {"projectId": "a"}})).unwrap().tree();
        for (path, value) in [
            ("instance/virtual-clock/drift-token", json!("7")),
            ("instance/preempted", json!("TRUE")),
            ("instance/shutdown-details/stop-state", json!("PENDING_STOP")),
            ("instance/upcoming-maintenance", json!({"type": "SCHEDULED"})),
        ] {
            let edited = before.with(path, &value).unwrap();
            assert!(!edited.has_same_at(path, &before), "{path}");
            let restored = edited.restored(path, &before);
            assert_eq!(restored.changed_paths(&before), [""; 0], "{path}");
            assert_eq!(restored, before, "{path}");
        }
    }

    #[test]
    fn a_removed_value_is_restored() {
        let before = Metadata::sample().with_attribute("a", "1").tree();
        let edited = before.without("instance/attributes/a").unwrap();
        assert_eq!(edited.restored("instance/attributes/a", &before), before);
        let edited = before.without("instance/attributes").unwrap();
        assert_eq!(edited.restored("instance/attributes", &before), before);
    }

    #[test]
    fn directories_with_other_values_stay() {
        let before = Metadata::sample().tree();
        let edited = before.with("instance/new/a", &json!(1)).unwrap().with("instance/new/b", &json!(2)).unwrap();
        let restored = edited.restored("instance/new/a", &before);
        assert_eq!(restored.config_json("instance/new"), Some(json!({"b": 2})));
        let replaced = edited.without("instance/new").unwrap().with("instance/new", &json!("text")).unwrap();
        assert_eq!(replaced.restored("instance/new/a", &before), replaced);
    }
}
