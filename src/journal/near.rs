//! What was nearly asked: the requests that are nearest to a pattern, and the keys that are nearest to a path.

use super::entry::Entry;
use crate::request_pattern::{Pattern, RequestView, distance};
use gce_metadata_routes::{Node, Tree};
use std::sync::Arc;

/// The number of near misses of a pattern, and of keys of a path.
const NEAREST: usize = 3;

/// Keys that differ more than this are no help.
const MAX_KEY_DISTANCE: f64 = 0.5;

/// A request that nearly matches.
#[derive(Debug, Clone)]
pub(crate) struct NearMiss {
    pub(crate) entry: Arc<Entry>,
    /// From 0 to 1.
    pub(crate) distance: f64,
}

/// The requests that do not match but are nearest, the nearest first. Of equally near ones the newest come first; requests with the same
/// method and URL are one.
pub(crate) fn near_misses(pattern: &Pattern, entries: &[Arc<Entry>]) -> Vec<NearMiss> {
    let mut misses: Vec<NearMiss> = Vec::new();
    for entry in entries.iter().rev().filter(|entry| !pattern.matches(&***entry)) {
        let distance = pattern.distance(&**entry);
        let index = misses.partition_point(|miss| miss.distance <= distance);
        let is_same = |miss: &NearMiss| miss.entry.method == entry.method && miss.entry.url() == entry.url();
        if index < NEAREST && !misses.iter().any(is_same) {
            misses.insert(index, NearMiss { entry: Arc::clone(entry), distance });
            misses.truncate(NEAREST);
        }
    }
    misses
}

/// The keys of the tree that are nearest to a path below `/computeMetadata/v1/`, with their distances, the nearest first.
pub(crate) fn nearest_keys(tree: &Tree, key: &str) -> Vec<(String, f64)> {
    let mut nearest: Vec<(String, f64)> = Vec::new();
    for child in ["instance", "project"] {
        if let Some(node) = tree.get(child) {
            collect(node, child.to_owned(), key.trim_matches('/'), &mut nearest);
        }
    }
    nearest
}

/// The keys nearest to that of a pattern; `None` if the pattern names no key, or one that exists.
pub(crate) fn nearest_keys_of(tree: &Tree, pattern: &Pattern) -> Option<Vec<String>> {
    let key = pattern.key().filter(|key| tree.get(key.trim_matches('/')).is_none())?;
    Some(nearest_keys(tree, key).into_iter().map(|(key, _)| key).collect())
}

/// The depth of a tree is bounded, so recursion is safe.
fn collect(node: &Node, path: String, key: &str, nearest: &mut Vec<(String, f64)>) {
    let distance = distance(&path, key);
    let index = nearest.partition_point(|(_, other)| *other <= distance);
    if index < NEAREST && distance <= MAX_KEY_DISTANCE {
        let slash = if node.is_directory() { "/" } else { "" };
        nearest.insert(index, (format!("{path}{slash}"), distance));
        nearest.truncate(NEAREST);
    }
    match node {
        Node::Dir(dir) => {
            for (name, child) in dir.entries() {
                collect(child, format!("{path}/{name}"), key, nearest);
            }
        }
        Node::Array(_) => {
            for index in 0.. {
                let Some(child) = node.child(&index.to_string()) else { break };
                collect(child, format!("{path}/{index}"), key, nearest);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;
    use gce_metadata_routes::Metadata;
    use http::Request;
    use serde_json::json;

    #[test]
    fn the_nearest_keys_of_a_typo_are_found() {
        let tree = Metadata::sample().tree();
        assert_eq!(nearest_keys(&tree, "instance/preempte")[0].0, "instance/preempted");
        assert_eq!(nearest_keys(&tree, "instance/maintenanceEvent")[0].0, "instance/maintenance-event");
        assert_eq!(nearest_keys(&tree, "project/projectId")[0].0, "project/project-id");
        assert!(nearest_keys(&tree, "something/else/altogether/zzzzzzzzzzzzzz").is_empty());
        assert!(nearest_keys(&tree, "instance/na").len() <= 3);
    }

    #[test]
    fn at_most_three_different_near_misses_are_found() {
        let paths = ["/id", "/idd", "/zone", "/idd", "/ie", "/id/"];
        let entries: Vec<_> = paths.map(|path| Arc::new(entry(Request::get(path), 200))).into();
        let pattern = Pattern::parse(&json!({"urlPath": "/id"}), "").unwrap();
        let found = near_misses(&pattern, &entries);
        let urls: Vec<_> = found.iter().map(|miss| miss.entry.url().into_owned()).collect();
        assert_eq!(urls, ["/id/", "/idd", "/ie"]);
        assert!(found.is_sorted_by(|a, b| a.distance <= b.distance));
    }
}
