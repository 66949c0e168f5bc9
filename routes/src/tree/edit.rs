//! Edits: a new tree that shares all with the old one but the way from the root to what changed.

use super::{Array, Dir, Entry, Forms, Node, Shown, Tree, build};
use crate::schema::{self, Rule};
use serde_json::Value;
use std::sync::Arc;

/// Why a tree could not be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The path has no segment.
    #[error("the root itself can't be set or removed: name a path such as instance/attributes/my-key")]
    Root,
    /// A segment of the path stands below a value.
    #[error("{path}: `{segment}` can't stand below a value; remove the value first")]
    BelowLeaf {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment below a list is no index of it, nor the next one.
    #[error("{path}: `{segment}` is not an index of the list, nor the next one")]
    NotAnIndex {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// A segment that no request could name.
    #[error("{path}: `{segment}` can't be part of a URL's path")]
    NotAddressable {
        /// The path of the edit.
        path: String,
        /// The segment.
        segment: String,
    },
    /// There is nothing to remove.
    #[error("{path}: there is no such node")]
    NotFound {
        /// The path of the edit.
        path: String,
    },
    /// The value comes from a token source.
    #[error("{path}: tokens come from the token source and can't be edited")]
    Computed {
        /// The path of the edit.
        path: String,
    },
}

impl Tree {
    /// The tree with this value at that path; directories on the way are made, an index may be the next one of its list.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"instance": {"preempted": "FALSE"}})).unwrap().tree();
    /// let edited = tree.with("instance/preempted", &json!("TRUE")).unwrap();
    /// assert_eq!(edited.text("instance/preempted").unwrap(), "TRUE");
    /// assert_eq!(tree.text("instance/preempted").unwrap(), "FALSE");
    /// ```
    pub fn with(&self, path: &str, value: &Value) -> Result<Self, EditError> {
        self.with_shown(path, value, Shown::Everywhere).map(|tree| tree.with_defaults(path))
    }

    /// The tree with a JSON merge patch (RFC 7396) applied to what is at that path: an object sets and, where it says
    /// null, removes what its keys name; anything else replaces. Keys are those of the JSON, such as `maintenanceEvent`. An
    /// empty path is the whole tree.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"instance": {"attributes": {"a": "1", "b": "2"}}})).unwrap().tree();
    /// let patched = tree.with_merged("instance", &json!({"attributes": {"a": null, "c": "3"}})).unwrap();
    /// assert_eq!(patched.get("instance/attributes").unwrap().json(), r#"{"b":"2","c":"3"}"#);
    /// ```
    pub fn with_merged(&self, path: &str, patch: &Value) -> Result<Self, EditError> {
        let current = self.get(path).map(|node| node.json()).unwrap_or_default();
        let mut value = serde_json::from_slice(&current).unwrap_or(Value::Null);
        json_patch::merge(&mut value, patch);
        match Edit::new(path) {
            Ok(_) => self.with(path, &value),
            Err(EditError::Root) if value.is_object() => Ok(Self::from_json(&value)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn with_shown(&self, path: &str, value: &Value, shown: Shown) -> Result<Self, EditError> {
        let edit = Edit::new(path)?;
        if let Some(segment) = edit.segments.iter().find(|segment| !build::is_addressable(segment)) {
            return Err(EditError::NotAddressable { path: path.into(), segment: (*segment).into() });
        }
        let node = Arc::new(build::node(value, &mut edit.segments.clone()));
        Ok(Self { root: edit.put(&self.root, 0, node, shown)? })
    }

    /// The tree without the node at that path. Items behind a removed index move up.
    pub fn without(&self, path: &str) -> Result<Self, EditError> {
        Ok(Self { root: Edit::new(path)?.remove(&self.root, 0)? })
    }
}

struct Edit<'a> {
    path: &'a str,
    segments: Vec<&'a str>,
}

impl<'a> Edit<'a> {
    fn new(path: &'a str) -> Result<Self, EditError> {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        if segments.is_empty() { Err(EditError::Root) } else { Ok(Self { path, segments }) }
    }

    /// The node at `depth`, with `new` put at the end of the path below it.
    fn put(&self, node: &Node, depth: usize, new: Arc<Node>, shown: Shown) -> Result<Arc<Node>, EditError> {
        let Some(&segment) = self.segments.get(depth) else { return Ok(new) };
        Ok(Arc::new(match node {
            Node::Dir(dir) => {
                let entry = match dir.entries.get(segment) {
                    Some(entry) if *entry.node == Node::Computed => {
                        return Err(EditError::Computed { path: self.path.into() });
                    }
                    Some(entry) => {
                        let node = self.put(&entry.node, depth + 1, new, shown)?;
                        // What was only a default is the owner's own now.
                        let shown = if shown == Shown::Everywhere { shown } else { entry.shown };
                        Entry { node, shown, json_key: entry.json_key.clone() }
                    }
                    None => {
                        // Whoever finds the directory, listed or not, finds all of it.
                        let node = self.put(&Node::Dir(Dir::default()), depth + 1, new, Shown::Everywhere)?;
                        Entry { node, shown, json_key: self.json_key(depth).into() }
                    }
                };
                let mut entries = dir.entries.clone();
                entries.insert(segment.into(), entry);
                Node::Dir(Dir { entries, forms: Forms::default() })
            }
            Node::Array(array) => {
                let mut items = array.items.clone();
                match super::index(segment) {
                    Some(index) if index < items.len() => {
                        items[index] = self.put(&items[index], depth + 1, new, shown)?
                    }
                    Some(index) if index == items.len() => {
                        items.push(self.put(&Node::Dir(Dir::default()), depth + 1, new, shown)?);
                    }
                    _ => return Err(EditError::NotAnIndex { path: self.path.into(), segment: segment.into() }),
                }
                Node::Array(Array { items, forms: Forms::default() })
            }
            Node::Leaf(_) | Node::Computed => {
                return Err(EditError::BelowLeaf { path: self.path.into(), segment: segment.into() });
            }
        }))
    }

    fn remove(&self, node: &Node, depth: usize) -> Result<Arc<Node>, EditError> {
        let not_found = || EditError::NotFound { path: self.path.into() };
        let segment = self.segments[depth];
        let last = depth + 1 == self.segments.len();
        Ok(Arc::new(match node {
            Node::Dir(dir) => {
                let entry = dir.entries.get(segment).ok_or_else(not_found)?;
                if *entry.node == Node::Computed {
                    return Err(EditError::Computed { path: self.path.into() });
                }
                let mut entries = dir.entries.clone();
                if last {
                    entries.remove(segment);
                } else {
                    let node = self.remove(&entry.node, depth + 1)?;
                    entries.insert(segment.into(), Entry { node, ..entry.clone() });
                }
                Node::Dir(Dir { entries, forms: Forms::default() })
            }
            Node::Array(array) => {
                let index = super::index(segment).filter(|index| *index < array.items.len()).ok_or_else(not_found)?;
                let mut items = array.items.clone();
                if last {
                    items.remove(index);
                } else {
                    items[index] = self.remove(&items[index], depth + 1)?;
                }
                Node::Array(Array { items, forms: Forms::default() })
            }
            Node::Leaf(_) | Node::Computed => return Err(not_found()),
        }))
    }

    /// The JSON key of a name that the tree does not have yet.
    fn json_key(&self, depth: usize) -> String {
        let (directory, segment) = (&self.segments[..depth], self.segments[depth]);
        if schema::is(directory, Rule::UserKeys) { segment.to_owned() } else { schema::camel_case(segment) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vm() -> Tree {
        let v1 = json!({"instance": {
            "attributes": {"a": "1"},
            "disks": [{"mode": "READ_WRITE"}, {"mode": "READ_ONLY"}],
            "serviceAccounts": {"default": {"email": "a@example.com"}},
        }});
        Tree::from_json(&v1)
    }

    fn json_of(tree: &Tree) -> Value {
        serde_json::from_slice(&tree.root.json()).unwrap()
    }

    #[test]
    fn a_value_is_set_and_the_rest_is_shared() {
        let before = vm();
        let after = before.with("instance/attributes/my-Key", &json!("2")).unwrap();
        assert_eq!(json_of(&after)["instance"]["attributes"], json!({"a": "1", "my-Key": "2"}));
        assert!(Arc::ptr_eq(before.get("instance/disks").unwrap(), after.get("instance/disks").unwrap()));
        assert!(before.get("instance/attributes/my-Key").is_none());
    }

    #[test]
    fn an_edited_tree_is_the_tree_of_the_edited_json() {
        assert_eq!(vm().with("instance", &json!({"disks": []})).unwrap().text("instance/preempted").unwrap(), "FALSE");
        let edited = vm()
            .with("instance/disks/1/mode", &json!("READ_WRITE"))
            .and_then(|tree| tree.with("instance/disks/2", &json!({"deviceName": "new"})))
            .and_then(|tree| tree.with("instance/virtual-clock/drift-token", &json!("7")))
            .and_then(|tree| tree.with("instance/network-interfaces", &json!([{"forwardedIps": []}])))
            .and_then(|tree| tree.without("instance/attributes/a"))
            .and_then(|tree| tree.without("instance/disks/0"))
            .unwrap();
        let v1 = json!({"instance": {
            "attributes": {},
            "disks": [{"mode": "READ_WRITE"}, {"deviceName": "new"}],
            "networkInterfaces": [{"forwardedIps": []}],
            "serviceAccounts": {"default": {"email": "a@example.com"}},
            "virtualClock": {"driftToken": "7"},
        }});
        assert_eq!(edited, Tree::from_json(&v1));
    }

    #[test]
    fn a_patch_merges_and_removes() {
        let patch = json!({"instance": {"attributes": {"a": null, "b": "2"}, "disks": null, "cpuPlatform": "c"}});
        let patched = vm().with_merged("", &patch).unwrap();
        assert_eq!(json_of(&patched)["instance"]["attributes"], json!({"b": "2"}));
        assert!(patched.get("instance/disks").is_none());
        assert_eq!(patched.text("instance/cpu-platform").unwrap(), "c");
        assert_eq!(**patched.get("instance/service-accounts/default/token").unwrap(), Node::Computed);
        assert_eq!(patched.text("universe/universe-domain").unwrap(), "googleapis.com");
        assert_eq!(
            vm().with_merged("instance/attributes/a", &json!("2")).unwrap(),
            vm().with("instance/attributes/a", &json!("2")).unwrap()
        );
        assert_eq!(vm().with_merged("", &json!("x")), Err(EditError::Root));
    }

    #[test]
    fn setting_what_was_only_a_default_shows_it() {
        let tree = vm().with("instance/preempted", &json!("TRUE")).unwrap();
        assert_eq!(json_of(&tree)["instance"]["preempted"], "TRUE");
        assert_eq!(json_of(&vm())["instance"].get("preempted"), None);
    }

    #[test]
    fn a_path_that_can_not_be_edited_is_named() {
        for (path, remedy) in [
            ("", "name a path"),
            ("instance/attributes/a/b", "`b` can't stand below a value"),
            ("instance/disks/5", "`5` is not an index"),
            ("instance/disks/-1", "`-1` is not an index"),
            ("instance/attributes/a b", "`a b` can't be part of a URL"),
            ("instance/service-accounts/default/token", "tokens come from the token source"),
        ] {
            let error = vm().with(path, &json!("x")).unwrap_err().to_string();
            assert!(error.contains(remedy) && error.contains(path), "{path}: {error}");
        }
        assert_eq!(vm().without("instance/x/y"), Err(EditError::NotFound { path: "instance/x/y".into() }));
        assert!(vm().without("instance/service-accounts/default/identity").is_err());
    }
}
