//! The metadata of a VM as an immutable tree.
//!
//! Listings, leaves, recursive JSON, flattened text and entity tags are functions of a node and a query. So each node is served in every
//! form, and a new key needs no code.

mod build;
mod changes;
mod edit;
mod guest_attributes;
mod merge;
mod outline;
mod rebase;
pub(crate) mod represent;
mod restore;

pub(crate) use build::{Segments, is_addressable};
pub use edit::EditError;
pub(crate) use edit::segments;
pub use guest_attributes::GuestAttributes;
pub use outline::OutlineNode;

use crate::accounts::Accounts;
use crate::depth;
use crate::memo::Memo;
use crate::os_login::OsLogin;
use crate::schema::{self, Rule};
use bytes::Bytes;
use gce_metadata_layers::{Format, parse_bool};
use http::HeaderValue;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The tree of all nodes below `/computeMetadata/v1/`. Clones share all nodes; an edited tree shares all but those on the path of the
/// edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    pub(crate) root: Arc<Node>,
    pub(crate) accounts: Accounts,
    /// OS Login, which is not part of the nodes.
    os_login: Option<Arc<OsLogin>>,
}

impl Tree {
    /// The limit on the segments of a path, including the levels of nested values. Deeper metadata is refused, because trees are built and
    /// rendered recursively.
    pub const MAX_DEPTH: usize = 100;

    fn new(root: Arc<Node>) -> Self {
        Self { root, accounts: Accounts::default(), os_login: None }
    }

    /// The node at a path below `/computeMetadata/v1/`, such as `instance/disks/0/mode`. Runs of slashes count as one slash.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"project": {"numericProjectId": 123456789012_u64}})).unwrap().tree();
    /// assert!(tree.get("project/numeric-project-id").is_some());
    /// assert!(tree.get("project/numericProjectId").is_none());
    /// ```
    pub fn get(&self, path: &str) -> Option<&Arc<Node>> {
        let (mut node, mut rest) = (&self.root, path);
        // A loop over bytes: segments are short, and the search of `str::split` is for long texts.
        while !rest.is_empty() {
            let (segment, after) = rest.split_at(rest.bytes().position(|byte| byte == b'/').unwrap_or(rest.len()));
            if !segment.is_empty() {
                node = node.child(segment)?;
            }
            rest = after.strip_prefix('/').unwrap_or(after);
        }
        Some(node)
    }

    /// The section `osLogin` of the config, without the secrets and codes of challenges; `None` without OS Login.
    pub fn os_login_config(&self) -> Option<&Value> {
        self.os_login.as_ref().map(|os_login| os_login.config())
    }

    /// Sets the users and groups of OS Login.
    pub(crate) fn with_os_login(self, os_login: Option<Arc<OsLogin>>) -> Self {
        Self { os_login, ..self }
    }

    pub(crate) fn os_login(&self) -> Option<&Arc<OsLogin>> {
        self.os_login.as_ref()
    }

    /// The text of the leaf at this path; `None` if there is no leaf.
    #[expect(clippy::expect_used, reason = "text is made of strings")]
    pub fn text(&self, path: &str) -> Option<String> {
        match &**self.get(path)? {
            Node::Leaf(leaf) => Some(String::from_utf8(leaf.text().into()).expect("the text of a leaf is UTF-8")),
            _ => None,
        }
    }

    /// Whether an attribute of the instance, or else of the project, is true.
    #[expect(clippy::expect_used, reason = "text is made of strings")]
    pub(crate) fn is_switched_on(&self, attribute: &str) -> bool {
        let of = |owner| match &**self.get(owner)?.child(attribute)? {
            Node::Leaf(leaf) => Some(leaf.text()),
            _ => None,
        };
        let value = of("instance/attributes").or_else(|| of("project/attributes"));
        value
            .is_some_and(|value| parse_bool(str::from_utf8(&value).expect("the text of a leaf is UTF-8")) == Some(true))
    }
}

/// A node of the tree.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Node {
    /// A directory of names.
    Dir(Dir),
    /// A directory of indices.
    Array(Array),
    /// A value.
    Leaf(Leaf),
    /// A leaf whose value an endpoint computes for each request.
    Computed,
}

impl Node {
    /// Whether the node is a directory. The path of a directory has a slash at its end.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Dir(_) | Self::Array(_))
    }

    /// The child with this name or index.
    pub fn child(&self, segment: &str) -> Option<&Arc<Node>> {
        match self {
            Self::Dir(dir) => dir.entries.get(segment).map(|entry| &entry.node),
            Self::Array(array) => array.items.get(index(segment)?),
            Self::Leaf(_) | Self::Computed => None,
        }
    }
}

/// Parses an index as GCE does: digits without a leading zero. `usize` alone would accept `+1` and `01`.
fn index(segment: &str) -> Option<usize> {
    let canonical = segment == "0" || !segment.starts_with('0');
    (canonical && segment.bytes().all(|byte| byte.is_ascii_digit())).then(|| segment.parse().ok())?
}

/// A directory of names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dir {
    /// The names are shared with the trees that edits of this one make.
    entries: BTreeMap<Arc<str>, Entry>,
    /// Whether the directory is empty in recursion from above.
    is_closed: bool,
    cache: RenderCache,
}

impl Dir {
    /// The names and nodes in the directory, in byte order, including those that are not listed.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Arc<Node>)> {
        self.entries.iter().map(|(segment, entry)| (&**segment, &entry.node))
    }
}

/// An entry of a directory. Its name is kebab-case in paths and camelCase in JSON; a user-defined name is the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    json_key: Arc<str>,
    node: Arc<Node>,
    visibility: Visibility,
}

/// Where a directory shows an entry. Each entry is served by its path, also if it is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Visibility {
    /// In listings and in recursion.
    Everywhere,
    /// In listings only: tokens and private keys.
    ListingOnly,
    /// In recursion only: a key that no URL can contain, such as one with a slash.
    RecursionOnly,
    /// Neither in listings nor in recursion: a default.
    Nowhere,
}

impl Visibility {
    /// The visibility of an entry that the config or an edit has set at this path.
    fn of(path: &[&str]) -> Self {
        if schema::is(path, Rule::Secret) { Self::ListingOnly } else { Self::Everywhere }
    }

    fn in_listing(self) -> bool {
        matches!(self, Self::Everywhere | Self::ListingOnly)
    }

    fn in_recursion(self) -> bool {
        matches!(self, Self::Everywhere | Self::RecursionOnly)
    }
}

/// A directory of indices.
#[derive(Debug, PartialEq, Eq)]
pub struct Array {
    items: Vec<Arc<Node>>,
    cache: RenderCache,
}

/// A leaf: a string, a number, a list of those, or an object that GCE serves as one value.
#[derive(PartialEq, Eq)]
pub struct Leaf {
    value: Value,
    default: Format,
    cache: RenderCache,
}

impl Leaf {
    /// A leaf whose default format is text, as that of most leaves. A value that nests more than [`Tree::MAX_DEPTH`] levels deep is
    /// replaced by null, and an error is logged.
    pub fn text_by_default(value: impl Into<Value>) -> Self {
        Self::new(value.into(), Format::Text)
    }

    /// A leaf whose default format is JSON. The same limit applies.
    pub fn json_by_default(value: impl Into<Value>) -> Self {
        Self::new(value.into(), Format::Json)
    }

    fn new(value: Value, default: Format) -> Self {
        Self { value: depth::or_null(value, Tree::MAX_DEPTH), default, cache: RenderCache::default() }
    }

    /// The JSON value of the leaf.
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// Prints no value: attributes and workload identities may be secret.
impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("default", &self.default).finish_non_exhaustive()
    }
}

/// The rendered forms of a node. Each is rendered at its first use and cached, because a node never changes.
#[derive(Debug, Default, PartialEq, Eq)]
struct RenderCache {
    json: Memo<Bytes>,
    text: Memo<Bytes>,
    /// The entity tag of the JSON, which all forms of a value have.
    tag: Memo<HeaderValue>,
    /// Boxed, because most nodes are leaves, which have none.
    listing: Memo<Box<Listing>>,
}

/// A listing and its entity tag.
#[derive(Debug)]
struct Listing {
    names: Bytes,
    tag: HeaderValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_values() {
        let tree = Tree::from_json(&serde_json::json!({"instance": {"attributes": {"password": "hidden"}}}));
        assert!(str::from_utf8(&tree.get("").unwrap().json()).unwrap().contains("hidden"));
        assert!(!format!("{tree:?}").contains("hidden"));
    }

    #[test]
    fn only_canonical_decimals_are_indices() {
        assert_eq!(index("0"), Some(0));
        assert_eq!(index("10"), Some(10));
        for bad in ["", "-1", "+0", "+1", "00", "01", "1.0", "0x0", " 0", "18446744073709551616", "٠"] {
            assert_eq!(index(bad), None, "{bad:?}");
        }
    }
}
