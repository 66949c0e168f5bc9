//! The outline of a tree: a list of all its nodes with their paths, for programs that show a tree.

use super::{Dir, Node, Tree, Visibility};

/// A node in the outline of a tree.
#[derive(Debug)]
#[non_exhaustive]
pub struct OutlineNode<'a> {
    /// The path below `/computeMetadata/v1/`. That of a directory has a slash at its end.
    pub path: String,
    /// The node itself.
    pub node: &'a Node,
    /// Whether the value is a default: neither the config nor an edit has set it.
    pub is_default: bool,
    /// Whether a URL can carry the path. A key with a slash is in recursion only.
    pub is_addressable: bool,
}

impl Tree {
    /// All nodes below the root. A directory comes before the nodes in it, and names are in byte order.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let tree = Metadata::from_json(json!({"instance": {"id": 1, "zone": "z", "attributes": {"color": "blue"}}})).unwrap().tree();
    /// let outline = tree.outline();
    /// let of_config = outline.iter().filter(|node| node.path.starts_with("instance/") && !node.is_default);
    /// let paths: Vec<_> = of_config.map(|node| node.path.as_str()).collect();
    /// assert_eq!(paths, ["instance/", "instance/attributes/", "instance/attributes/color", "instance/id", "instance/zone"]);
    /// ```
    pub fn outline(&self) -> Vec<OutlineNode<'_>> {
        let mut outline = Vec::new();
        add_children(&self.root, "", State { is_default: false, is_addressable: true }, &mut outline);
        outline
    }
}

/// The properties that a node has from the directories above it.
#[derive(Clone, Copy)]
struct State {
    is_default: bool,
    is_addressable: bool,
}

fn add_children<'a>(node: &'a Node, path: &str, above: State, outline: &mut Vec<OutlineNode<'a>>) {
    match node {
        Node::Dir(Dir { entries, .. }) => {
            for (name, entry) in entries {
                let state = State {
                    is_default: (above.is_default || entry.visibility == Visibility::Nowhere)
                        && !entry.node.is_filled(),
                    is_addressable: above.is_addressable && entry.visibility != Visibility::RecursionOnly,
                };
                add(&entry.node, format!("{path}{name}"), state, outline);
            }
        }
        Node::Array(array) => {
            for (index, item) in array.items.iter().enumerate() {
                add(item, format!("{path}{index}"), above, outline);
            }
        }
        Node::Leaf(_) | Node::Computed => {}
    }
}

fn add<'a>(node: &'a Node, path: String, state: State, outline: &mut Vec<OutlineNode<'a>>) {
    let path = if node.is_directory() { path + "/" } else { path };
    let State { is_default, is_addressable } = state;
    outline.push(OutlineNode { path: path.clone(), node, is_default, is_addressable });
    add_children(node, &path, state, outline);
}

#[cfg(test)]
mod tests {
    use crate::{Metadata, Node};
    use serde_json::json;

    #[test]
    fn the_outline_has_directories_lists_values_and_computed_values() {
        let account = json!({"default": {"email": "vm@example.com", "scopes": ["a"], "aliases": ["default"]}});
        let instance = json!({"disks": [{"index": 0}], "serviceAccounts": account});
        let tree = Metadata::unfilled(json!({"instance": instance})).tree();
        let outline = tree.outline();
        let node = |path: &str| outline.iter().find(|it| it.path == path).unwrap_or_else(|| panic!("{path}")).node;
        assert!(matches!(node("instance/disks/"), Node::Array(_)));
        assert!(matches!(node("instance/disks/0/index"), Node::Leaf(_)));
        assert!(matches!(node("instance/service-accounts/default/token"), Node::Computed));
        let position = |path: &str| outline.iter().position(|node| node.path == path).unwrap();
        assert!(position("instance/disks/") < position("instance/disks/0/"));
    }

    #[test]
    fn values_that_the_config_does_not_have_are_defaults() {
        let tree = Metadata::unfilled(json!({"instance": {"id": 1}})).tree();
        let is_default = |path: &str| tree.outline().iter().find(|node| node.path == path).map(|node| node.is_default);
        assert_eq!((is_default("instance/id"), is_default("instance/preempted")), (Some(false), Some(true)));
    }

    #[test]
    fn a_key_that_no_url_can_carry_is_not_addressable() {
        let tree = Metadata::unfilled(json!({"instance": {"attributes": {"a b/c": "1", "d": "2"}}})).tree();
        let outline = tree.outline();
        let odd: Vec<_> = outline.iter().filter(|node| !node.is_addressable).map(|node| node.path.as_str()).collect();
        assert_eq!(odd, ["instance/attributes/a b/c"]);
    }
}
