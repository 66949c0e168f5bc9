//! Edits. An edited tree shares all nodes with the old one, except those on the path from the root to the edited node.

mod error;

pub use error::EditError;

use super::{Array, Dir, Entry, Node, RenderCache, Tree, Visibility, build};
use crate::accounts;
use crate::depth;
use crate::metadata::{self, Metadata, nearest_key};
use crate::schema::{self, Rule};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) const ACCOUNTS: [&str; 2] = ["instance", "service-accounts"];

impl Tree {
    /// Returns the tree with this value at this path. Missing directories are added, and an index may be the next one of its list.
    ///
    /// The value is converted to GCE's type at its path if that type is known and nothing is lost: a boolean becomes `TRUE` or `FALSE`, a
    /// number in a string becomes a number, and a boolean or number becomes a string where GCE has a string, as in attributes. A new
    /// key that GCE is not known to have is logged as a warning.
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
    ///
    /// # Errors
    /// If there can be no such value at the path: see [`EditError`].
    pub fn with(&self, path: &str, value: &Value) -> Result<Self, EditError> {
        let edit = Edit::new(path)?;
        let (value, unknown) = conform(path, &edit.segments, value)?;
        let tree = self.replaced(path, value)?;
        self.warn_of_new(&unknown);
        Ok(tree)
    }

    /// The tree with this value at this path, without conversion of types.
    pub(super) fn replaced(&self, path: &str, value: Value) -> Result<Self, EditError> {
        let edit = Edit::new(path)?;
        let value =
            Metadata::checked(value, &edit.segments).map_err(|error| EditError::Unfit { path: path.into(), error })?;
        let tree = self.with_visibility(path, &value, Visibility::Everywhere)?;
        let concerns_accounts = edit.segments.iter().zip(ACCOUNTS).all(|(segment, wanted)| *segment == wanted);
        let tree = if concerns_accounts { tree.with_complete_accounts()? } else { tree };
        Ok(tree.with_defaults(path))
    }

    /// Logs a warning for each of these keys that the tree does not have yet: they are probably misspelled.
    pub(super) fn warn_of_new(&self, unknown: &[String]) {
        for path in unknown.iter().filter(|path| self.get(path).is_none()) {
            let segments: Vec<_> = path.split('/').collect();
            let nearest = segments.split_last().and_then(|(key, directory)| nearest_key(directory, key));
            let did_you_mean = nearest.map(|key| schema::kebab_case(&key));
            let text = "GCE is not known to have this key: check its spelling; it is served unchanged";
            tracing::warn!(path, did_you_mean, "{text}");
        }
    }

    /// Adds the missing names of all service accounts.
    fn with_complete_accounts(&self) -> Result<Self, EditError> {
        let at = |path| self.owner_json(path).unwrap_or_default();
        let mut v1 = json!({
            "instance": {"serviceAccounts": at("instance/service-accounts")},
            "project": {"numericProjectId": at("project/numeric-project-id")},
        });
        let before = v1.clone();
        accounts::complete(&mut v1);
        if v1 == before {
            return Ok(self.clone());
        }
        self.with_visibility("instance/service-accounts", &v1["instance"]["serviceAccounts"], Visibility::Everywhere)
    }

    /// The JSON of the node at this path as a config has it, with the changes made at run time; an empty path is the whole tree. `None`
    /// if there is no node, or only a default or a computed value.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// let tree = Metadata::sample().tree();
    /// assert_eq!(tree.config_json("instance/preempted").unwrap(), "FALSE");
    /// assert!(tree.config_json("instance/service-accounts/default/token").is_none());
    /// ```
    pub fn config_json(&self, path: &str) -> Option<Value> {
        let is_computed = self.get(path).is_some_and(|node| **node == Node::Computed);
        self.owner_json(path).filter(|_| !is_computed)
    }

    /// The owner's JSON of the node at this path; `None` if there is no node, or only a default.
    pub(super) fn owner_json(&self, path: &str) -> Option<Value> {
        let mut node = &self.root;
        for segment in segments(path) {
            if let Node::Dir(dir) = &**node
                && dir.entries.get(segment).is_some_and(|entry| !entry.is_in_owner_json())
            {
                return None;
            }
            node = node.child(segment)?;
        }
        Some(node.owner_json())
    }

    /// The tree with a computed leaf at this path. The leaf, and directories that are added for it, are listed but omitted from recursion.
    pub(crate) fn with_computed(&self, path: &str) -> Result<Self, EditError> {
        self.with_node(path, Arc::new(Node::Computed), Visibility::ListingOnly)
    }

    pub(super) fn with_visibility(&self, path: &str, value: &Value, visibility: Visibility) -> Result<Self, EditError> {
        let edit = Edit::new(path)?;
        if let Some(segment) = edit.segments.iter().find(|segment| !build::is_addressable(segment)) {
            return Err(EditError::NotAddressable { path: path.into(), segment: (*segment).into() });
        }
        self.with_node(path, Arc::new(build::node(value, &edit.segments)), visibility)
    }

    pub(super) fn with_node(&self, path: &str, node: Arc<Node>, visibility: Visibility) -> Result<Self, EditError> {
        Ok(self.with_root(Edit::new(path)?.put(&self.root, 0, node, visibility)?))
    }

    /// Returns the tree without the node at this path. Removing an item of a list shifts the later ones. A node with a default gets its
    /// default again.
    ///
    /// # Errors
    /// If there is no such node, or if it is computed.
    pub fn without(&self, path: &str) -> Result<Self, EditError> {
        Ok(self.with_root(Edit::new(path)?.remove(&self.root, 0)?).with_defaults(path))
    }

    /// A tree with this root and the same OS Login.
    pub(super) fn with_root(&self, root: Arc<Node>) -> Self {
        Self { os_login: self.os_login.clone(), ..Self::new(root) }
    }
}

impl Node {
    /// The owner's JSON of this node, including run-time edits and guest attributes; defaults are omitted.
    pub(super) fn owner_json(&self) -> Value {
        match self {
            Self::Dir(dir) => {
                let entries = dir.entries.values().filter(|entry| entry.is_in_owner_json());
                entries.map(|entry| (String::from(&*entry.json_key), entry.node.owner_json())).collect()
            }
            Self::Array(array) => array.items.iter().map(|item| item.owner_json()).collect(),
            Self::Leaf(leaf) => leaf.value().clone(),
            Self::Computed => Value::Null,
        }
    }

    /// Whether there are guest attributes at or below this node.
    pub(super) fn is_filled(&self) -> bool {
        let Self::Dir(dir) = self else { return false };
        if dir.is_closed { !dir.entries.is_empty() } else { dir.entries.values().any(|entry| entry.node.is_filled()) }
    }
}

impl Entry {
    /// Whether the entry is set by the config or an edit, or has guest attributes below it. Defaults are not.
    fn is_in_owner_json(&self) -> bool {
        let is_secret = self.visibility == Visibility::ListingOnly && matches!(&*self.node, Node::Leaf(_));
        self.visibility.in_recursion() || is_secret || self.node.is_filled()
    }
}

/// Checks the depth of an edit, and returns its value or patch in GCE's types with its keys that GCE is not known to have.
pub(super) fn conform(path: &str, segments: &[&str], value: &Value) -> Result<(Value, Vec<String>), EditError> {
    let levels = Tree::MAX_DEPTH.checked_sub(segments.len());
    if levels.is_none_or(|levels| depth::beyond(value, levels).is_some()) {
        return Err(EditError::TooDeep { path: path.into() });
    }
    let mut value = value.clone();
    let unknown = metadata::conform(&mut value, segments);
    Ok((value, unknown))
}

/// The segments of a path below `/computeMetadata/v1/`.
pub(crate) fn segments(path: &str) -> Vec<&str> {
    path.split('/').filter(|segment| !segment.is_empty()).collect()
}

/// The path of an edit, and its segments.
pub(super) struct Edit<'a> {
    path: &'a str,
    segments: Vec<&'a str>,
}

impl<'a> Edit<'a> {
    pub(super) fn new(path: &'a str) -> Result<Self, EditError> {
        let segments = segments(path);
        match segments.first() {
            None => Err(EditError::Root),
            Some(&"computeMetadata") => Err(EditError::NotRelative { path: path.into() }),
            Some(_) if segments.len() > Tree::MAX_DEPTH => Err(EditError::TooDeep { path: path.into() }),
            Some(_) => Ok(Self { path, segments }),
        }
    }

    /// Copies the node at `depth` with `new` at the end of the path.
    pub(super) fn put(
        &self,
        node: &Node,
        depth: usize,
        new: Arc<Node>,
        visibility: Visibility,
    ) -> Result<Arc<Node>, EditError> {
        let Some(&segment) = self.segments.get(depth) else { return Ok(new) };
        Ok(Arc::new(match node {
            Node::Dir(dir) => {
                let entry = match dir.entries.get(segment) {
                    Some(entry) if *entry.node == Node::Computed => {
                        return Err(EditError::Computed { path: self.path.into() });
                    }
                    Some(entry) => {
                        let node = self.put(&entry.node, depth + 1, new, visibility)?;
                        let is_last = depth + 1 == self.segments.len();
                        // A default becomes visible when it is set.
                        let changes =
                            visibility == Visibility::Everywhere || (visibility == Visibility::ListingOnly && is_last);
                        let visibility = if changes { self.visibility(depth, visibility) } else { entry.visibility };
                        Entry { node, visibility, json_key: entry.json_key.clone() }
                    }
                    None => {
                        self.is_well_spelled(depth)?;
                        // Only the topmost directory of a default is hidden, so that its own listing is complete.
                        let below = if visibility == Visibility::Nowhere { Visibility::Everywhere } else { visibility };
                        let node = self.put(&self.empty(depth), depth + 1, new, below)?;
                        Entry {
                            node,
                            visibility: self.visibility(depth, visibility),
                            json_key: self.json_key(depth).into(),
                        }
                    }
                };
                let mut entries = dir.entries.clone();
                entries.insert(segment.into(), entry);
                Node::Dir(Dir { entries, is_closed: dir.is_closed, cache: RenderCache::default() })
            }
            Node::Array(array) => {
                let mut items = array.items.clone();
                match super::index(segment) {
                    Some(index) if index < items.len() => {
                        items[index] = self.put(&items[index], depth + 1, new, visibility)?
                    }
                    Some(index) if index == items.len() => {
                        items.push(self.put(&self.empty(depth), depth + 1, new, visibility)?);
                    }
                    _ => return Err(EditError::NotAnIndex { path: self.path.into(), segment: segment.into() }),
                }
                Node::Array(Array { items, cache: RenderCache::default() })
            }
            Node::Leaf(_) | Node::Computed => {
                return Err(EditError::BelowLeaf { path: self.path.into(), segment: segment.into() });
            }
        }))
    }

    /// Copies the node at `depth` without the node at the end of the path.
    pub(super) fn remove(&self, node: &Node, depth: usize) -> Result<Arc<Node>, EditError> {
        let not_found = || EditError::NotFound { path: self.path.into() };
        let segment = self.segments[depth];
        let last = depth + 1 == self.segments.len();
        Ok(Arc::new(match node {
            Node::Dir(dir) => {
                let Some(entry) = dir.entries.get(segment) else {
                    self.is_well_spelled(depth)?;
                    return Err(not_found());
                };
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
                Node::Dir(Dir { entries, is_closed: dir.is_closed, cache: RenderCache::default() })
            }
            Node::Array(array) => {
                let index = super::index(segment).filter(|index| *index < array.items.len()).ok_or_else(not_found)?;
                let mut items = array.items.clone();
                if last {
                    items.remove(index);
                } else {
                    items[index] = self.remove(&items[index], depth + 1)?;
                }
                Node::Array(Array { items, cache: RenderCache::default() })
            }
            Node::Leaf(_) | Node::Computed => return Err(not_found()),
        }))
    }

    /// Rejects a new segment in camelCase; it would create a second entry beside the kebab-case one.
    fn is_well_spelled(&self, depth: usize) -> Result<(), EditError> {
        let (directory, segment) = (&self.segments[..depth], self.segments[depth]);
        let instead = schema::kebab_case(segment);
        if schema::is(directory, Rule::UserKeys) || instead == segment {
            return Ok(());
        }
        Err(EditError::Misspelled { path: self.path.into(), segment: segment.into(), instead })
    }

    /// The empty directory that is added at `depth` for a missing segment.
    fn empty(&self, depth: usize) -> Node {
        let path = &self.segments[..=depth];
        if schema::is(path, Rule::ListDirectory) {
            Node::Array(Array { items: Vec::new(), cache: RenderCache::default() })
        } else {
            Node::Dir(Dir { is_closed: schema::is(path, Rule::Closed), ..Dir::default() })
        }
    }

    /// The given visibility, except that recursion never shows secrets.
    fn visibility(&self, depth: usize, visibility: Visibility) -> Visibility {
        if visibility == Visibility::Everywhere { Visibility::of(&self.segments[..=depth]) } else { visibility }
    }

    /// The JSON key of a new entry.
    fn json_key(&self, depth: usize) -> String {
        let (directory, segment) = (&self.segments[..depth], self.segments[depth]);
        if schema::is(directory, Rule::UserKeys) { segment.to_owned() } else { schema::camel_case(segment) }
    }
}

#[cfg(test)]
mod tests;
