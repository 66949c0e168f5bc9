//! The values that a run has set or removed, with those before, so that the run can put them back.

use gce_metadata_routes::{EditError, Tree};
use serde_json::Value;

/// The values that a run has changed, in the order of the changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Touched(Vec<Change>);

#[derive(Debug, Clone)]
struct Change {
    path: String,
    /// The tree before the run changed the value. Trees share their nodes.
    before: Tree,
    /// The tree after the run's last change of the value.
    own: Tree,
}

impl Touched {
    /// Applies a patch to a tree, and remembers the values that it changes.
    ///
    /// # Errors
    /// If the tree can't have such a value. Nothing is remembered then.
    pub(super) fn apply(&mut self, tree: &Tree, patch: &Value) -> Result<Tree, EditError> {
        let parts = Tree::parts_of_patch(patch);
        // One by one, because a patch of the root would build the whole tree again.
        let patched = parts.iter().try_fold(tree.clone(), |tree, (path, value)| match value {
            Value::Null if tree.config_json(path).is_none() => Ok(tree),
            Value::Null => tree.without(path),
            _ => tree.with_merged(path, value),
        })?;
        for (path, _) in parts {
            match self.0.iter_mut().rfind(|change| change.path == path) {
                Some(change) if tree.has_same_at(&path, &change.own) => change.own = patched.clone(),
                // Its first change, or another writer has changed the value since.
                _ => self.0.push(Change { path, before: tree.clone(), own: patched.clone() }),
            }
        }
        Ok(patched)
    }

    /// Returns the tree with the values before the run, and the paths of the values that another writer has changed meanwhile, which
    /// stay.
    pub(super) fn restored(&self, tree: &Tree, keeps: impl Fn(&str) -> bool) -> (Tree, Vec<String>) {
        let (mut restored, mut changed) = (tree.clone(), Vec::new());
        for Change { path, before, own } in self.0.iter().rev().filter(|change| !keeps(&change.path)) {
            if restored.has_same_at(path, own) {
                restored = restored.restored(path, before);
            } else if !changed.contains(path) {
                changed.push(path.clone());
            }
        }
        changed.sort();
        (restored, changed)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::Metadata;
    use serde_json::json;

    fn instance(patch: Value) -> Value {
        json!({"instance": patch})
    }

    fn restored(touched: &Touched, tree: &Tree) -> (Tree, Vec<String>) {
        touched.restored(tree, |_| false)
    }

    #[test]
    fn values_are_put_back_also_after_several_patches() {
        let before = Metadata::sample().with_attribute("a", "1").tree();
        let mut touched = Touched::default();
        let mut tree = before.clone();
        for patch in [
            json!({"preempted": "TRUE", "attributes": {"a": "2", "new": "3"}}),
            json!({"attributes": null}),
            json!({"attributes": {"a": "4"}, "shutdownDetails": {"stopState": "PENDING_STOP"}}),
            json!({"preempted": null, "none": null}),
        ] {
            tree = touched.apply(&tree, &instance(patch)).unwrap();
        }
        assert_eq!(tree.config_json("instance/attributes"), Some(json!({"a": "4"})));
        assert_eq!(restored(&touched, &tree), (before, vec![]));
    }

    #[test]
    fn a_value_that_another_writer_has_changed_stays() {
        let before = Metadata::sample().tree();
        let mut touched = Touched::default();
        let patch = json!({"preempted": "TRUE", "maintenanceEvent": "MIGRATE_ON_HOST_MAINTENANCE"});
        let tree = touched.apply(&before, &instance(patch)).unwrap();
        let edited = tree.with("instance/maintenance-event", &json!("TERMINATE_ON_HOST_MAINTENANCE")).unwrap();
        let (tree, changed) = restored(&touched, &edited);
        assert_eq!(changed, ["instance/maintenance-event"]);
        assert_eq!(tree.text("instance/preempted").unwrap(), "FALSE");
        assert_eq!(tree.text("instance/maintenance-event").unwrap(), "TERMINATE_ON_HOST_MAINTENANCE");
    }

    #[test]
    fn a_value_that_the_run_sets_again_goes_back_to_the_other_writers_value() {
        let before = Metadata::sample().tree();
        let mut touched = Touched::default();
        let tree = touched.apply(&before, &instance(json!({"attributes": {"a": "run"}}))).unwrap();
        let edited = tree.with("instance/attributes/a", &json!("other")).unwrap();
        let tree = touched.apply(&edited, &instance(json!({"attributes": {"a": "again"}}))).unwrap();
        let (tree, changed) = restored(&touched, &tree);
        assert_eq!((tree, changed), (edited, vec!["instance/attributes/a".to_owned()]));
    }

    #[test]
    fn a_patch_that_does_not_fit_changes_nothing() {
        let before = Metadata::sample().tree();
        let mut touched = Touched::default();
        let patch = json!({"preempted": "TRUE", "name": {"below": {"a": "leaf"}}});
        let error = touched.apply(&before, &instance(patch)).unwrap_err();
        assert!(matches!(error, EditError::BelowLeaf { .. }), "{error}");
        assert_eq!(restored(&touched, &before), (before.clone(), vec![]));
    }
}
