//! The paths that differ between two trees, for the log line of a reload.

use super::{Node, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Tree {
    /// The paths below `/computeMetadata/v1/` whose values differ between this tree and `after`, in byte order, and `osLogin` if OS Login
    /// differs. A directory that only one of the trees has is one path, with a slash at its end. So is a list whose length differs.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    ///
    /// let before = Metadata::sample().tree();
    /// let after = Metadata::sample().with_instance("preempted", "TRUE").with_attribute("colour", "red").tree();
    /// assert_eq!(before.changed_paths(&after), ["instance/attributes/colour", "instance/preempted"]);
    /// ```
    pub fn changed_paths(&self, after: &Self) -> Vec<String> {
        let mut paths = Vec::new();
        compare(&self.root, &after.root, "", &mut paths);
        if self.os_login != after.os_login {
            paths.push("osLogin".to_owned());
        }
        paths
    }
}

fn compare(before: &Arc<Node>, after: &Arc<Node>, path: &str, paths: &mut Vec<String>) {
    // Trees share the nodes that an edit did not change.
    if Arc::ptr_eq(before, after) {
        return;
    }
    match (&**before, &**after) {
        (Node::Dir(before), Node::Dir(after)) => {
            let names: BTreeSet<_> = before.entries.keys().chain(after.entries.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.to_string() } else { format!("{path}/{name}") };
                match (before.entries.get(name), after.entries.get(name)) {
                    (Some(before), Some(after)) if before.visibility == after.visibility => {
                        compare(&before.node, &after.node, &path, paths);
                    }
                    (_, Some(entry)) | (Some(entry), None) => paths.push(shown(&path, &entry.node)),
                    (None, None) => {}
                }
            }
        }
        (Node::Array(before), Node::Array(after)) if before.items.len() == after.items.len() => {
            for (index, (before, after)) in before.items.iter().zip(&after.items).enumerate() {
                compare(before, after, &format!("{path}/{index}"), paths);
            }
        }
        (before, after) if before != after => paths.push(shown(path, after)),
        _ => {}
    }
}

fn shown(path: &str, node: &Node) -> String {
    if node.is_directory() { format!("{path}/") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use crate::{Metadata, OsLogin};
    use serde_json::{Value, json};

    fn changed(before: Value, after: Value) -> Vec<String> {
        Metadata::unfilled(before).tree().changed_paths(&Metadata::unfilled(after).tree())
    }

    #[test]
    fn changed_paths_are_those_of_values_directories_and_lists() {
        let before = json!({"instance": {"id": 1, "tags": ["a"], "disks": [{"index": 0}, {"index": 1}], "attributes": {"a": "1", "b": "2"}}});
        let after = json!({"instance": {"id": 1, "tags": ["b"], "disks": [{"index": 0}, {"index": 2}], "attributes": {"b": "3", "c": "4"},
            "scheduling": {"preemptible": "TRUE"}}});
        let paths = ["attributes/a", "attributes/b", "attributes/c", "disks/1/index", "scheduling/", "tags"];
        assert_eq!(changed(before.clone(), after), paths.map(|path| format!("instance/{path}")));
        assert_eq!(changed(before.clone(), before), [""; 0]);
    }

    #[test]
    fn a_list_of_another_length_is_one_changed_path() {
        let disks = |disks: Value| json!({"instance": {"disks": disks}});
        assert_eq!(changed(disks(json!([{}])), disks(json!([{}, {"index": 1}]))), ["instance/disks/"]);
    }

    #[test]
    fn a_default_that_becomes_a_value_of_the_config_is_a_changed_path() {
        assert_eq!(
            changed(json!({"instance": {}}), json!({"instance": {"preempted": "FALSE"}})),
            ["instance/preempted"]
        );
    }

    #[test]
    fn a_change_of_os_login_is_a_changed_path() {
        let (without, os_login) = (Metadata::empty(), OsLogin::from_json(json!({})).unwrap());
        let with = without.clone().with_os_login(os_login).tree();
        assert_eq!(without.tree().changed_paths(&with), ["oslogin/", "osLogin"]);
    }
}
