//! `/__admin/tree`: all nodes of the tree with their paths, and how each differs from the config file. The page draws it.

use super::call::{Call, Outcome, json};
use gce_metadata_routes::{Node, OutlineNode, Tree};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// OS Login in the list of changed paths. It is no part of the tree.
const OS_LOGIN: &str = "osLogin";

/// `GET`.
pub(super) async fn get(call: Call) -> Outcome {
    let of_config = call.admin.vm.of_config().await;
    let snapshot = call.admin.vm.reader().snapshot();
    json(&json!({"generation": snapshot.generation(), "nodes": nodes(snapshot.tree(), &of_config)}))
}

/// The nodes of the current tree, then those of the config that the current tree does not have.
fn nodes(tree: &Tree, of_config: &Tree) -> Vec<Value> {
    let changed = of_config.changed_paths(tree).into_iter().filter(|path| path != OS_LOGIN);
    let mut changed: HashMap<_, _> = changed.map(|path| (path.clone(), of_config.config_json(&path))).collect();
    let mut nodes: Vec<_> =
        tree.outline().into_iter().map(|node| described(&node, changed.remove(&node.path))).collect();
    // A change that concerns no node of the tree: the node was removed, or is a value where the config has a directory.
    let mut removed: Vec<_> = changed.into_iter().filter_map(|(path, of_config)| Some((path, of_config?))).collect();
    removed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    nodes.extend(
        removed.into_iter().map(|(path, of_config)| json!({"path": path, "kind": "removed", "config": of_config})),
    );
    nodes
}

/// A node in JSON. `change` is the value in the config of a node that differs from the config, `None` if the config does not have it.
fn described(node: &OutlineNode<'_>, change: Option<Option<Value>>) -> Value {
    let mut described = Map::new();
    described.insert("path".into(), node.path.as_str().into());
    described.insert("kind".into(), kind(node.node).into());
    if let Node::Leaf(leaf) = node.node {
        described.insert("value".into(), leaf.value().clone());
    }
    let flags = [("default", node.is_default), ("unaddressable", !node.is_addressable), ("changed", change.is_some())];
    described.extend(flags.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| (name.to_owned(), true.into())));
    if let Some(Some(of_config)) = change {
        described.insert("config".into(), of_config);
    }
    described.into()
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::Dir(_) => "directory",
        Node::Array(_) => "list",
        Node::Leaf(_) => "value",
        _ => "computed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::Metadata;

    fn described(nodes: &[Value], path: &str) -> Value {
        nodes.iter().find(|node| node["path"] == path).unwrap_or_else(|| panic!("{path}")).clone()
    }

    #[test]
    fn a_changed_node_has_the_value_of_the_config() {
        let of_config = Metadata::sample().with_attribute("removed", "1").tree();
        let tree = of_config.with("instance/preempted", &json!("TRUE")).unwrap();
        let tree = tree.with("instance/attributes/added", &json!("2")).unwrap();
        let tree = tree.without("instance/attributes/removed").unwrap();
        let nodes = nodes(&tree, &of_config);
        let path = "instance/preempted";
        let expected = json!({"path": path, "kind": "value", "value": "TRUE", "changed": true, "config": "FALSE"});
        assert_eq!(described(&nodes, path), expected);
        let path = "instance/attributes/added";
        let expected = json!({"path": path, "kind": "value", "value": "2", "changed": true});
        assert_eq!(described(&nodes, path), expected);
        let path = "instance/attributes/removed";
        assert_eq!(described(&nodes, path), json!({"path": path, "kind": "removed", "config": "1"}));
        assert_eq!(nodes.iter().filter(|node| node["changed"] == true).count(), 2);
    }

    #[test]
    fn no_node_of_an_unchanged_tree_is_changed_and_a_token_has_no_value() {
        let tree = Metadata::sample().tree();
        let nodes = nodes(&tree, &tree);
        assert!(nodes.iter().all(|node| node["changed"].is_null() && node["kind"] != "removed"));
        let token = described(&nodes, "instance/service-accounts/default/token");
        assert_eq!(token, json!({"path": "instance/service-accounts/default/token", "kind": "computed"}));
    }
}
