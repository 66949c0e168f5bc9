//! The current tree: one value that writers replace, and that a request reads once.
//!
//! Whoever changes metadata (a config file, a test, an admin API) is a writer and holds the [`Publisher`]. Whoever answers
//! is a reader and holds a [`Reader`]. What is published gets its entity tags, its recursion and its waiters for nothing.

use crate::depth;
use crate::tree::{EditError, Tree};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One state of the metadata.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tree: Tree,
    generation: u64,
}

impl Snapshot {
    /// The metadata.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// How many states came before this one.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// The writing end. Clones write to the same metadata.
///
/// ```
/// use gce_metadata_routes::{Metadata, Publisher};
/// use serde_json::json;
///
/// let metadata = Metadata::from_json(json!({"instance": {"maintenanceEvent": "NONE"}})).unwrap();
/// let publisher = Publisher::new(metadata.tree());
/// let reader = publisher.reader();
/// publisher.set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
/// assert_eq!(reader.snapshot().tree().text("instance/maintenance-event").unwrap(), "MIGRATE_ON_HOST_MAINTENANCE");
/// ```
#[derive(Debug, Clone)]
pub struct Publisher {
    sender: Arc<watch::Sender<Arc<Snapshot>>>,
    computed: Arc<[&'static str]>,
    /// Whose turn it is to write. Readers never wait for it.
    turn: Arc<Mutex<()>>,
}

impl Publisher {
    /// A publisher of this tree.
    pub fn new(tree: Tree) -> Self {
        Self::with_computed(tree, [])
    }

    /// A publisher of this tree with computed leaves at these paths in whatever it publishes: they are listed, and routes
    /// answer for them.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Publisher};
    ///
    /// let publisher = Publisher::with_computed(Metadata::empty().tree(), ["instance/credentials/mine"]);
    /// publisher.publish(Metadata::sample().tree());
    /// let tree = publisher.reader().snapshot().tree().clone();
    /// assert_eq!(tree.get("instance/credentials").unwrap().listing(), "mine\n");
    /// ```
    pub fn with_computed(tree: Tree, computed: impl IntoIterator<Item = &'static str>) -> Self {
        let computed: Arc<[_]> = computed.into_iter().collect();
        let snapshot = Snapshot { tree: listing(tree, &computed), generation: 0 };
        Self { sender: Arc::new(watch::Sender::new(Arc::new(snapshot))), computed, turn: Arc::default() }
    }

    /// An end to read from.
    pub fn reader(&self) -> Reader {
        Reader { receiver: self.sender.subscribe() }
    }

    /// Replaces everything. Publishing what is there already changes nothing and wakes nobody; the answer says whether
    /// it changed.
    pub fn publish(&self, tree: Tree) -> bool {
        self.update(|_| tree)
    }

    /// Replaces everything by what is made of it. No other writer comes in between. The answer says whether it changed.
    pub fn update(&self, make: impl FnOnce(&Tree) -> Tree) -> bool {
        let Ok(changed) = self.change::<Infallible>(|tree| Ok(make(tree)));
        changed
    }

    /// Sets the value at a path below `/computeMetadata/v1/`, such as `instance/attributes/my-key`. A service account stands
    /// below each of its names, and what is set below one of them is not set below the others.
    ///
    /// The value is served in the type that GCE has there, where that is known: `true` becomes `TRUE`, `"42"` a number for
    /// `instance/id`, and `5` a string in attributes. What is set otherwise stays as it is given, and so does what a config has. A
    /// new key that GCE is not known to have is logged as a warning, and served.
    ///
    /// ```
    /// # use gce_metadata_routes::{Metadata, Publisher};
    /// # let publisher = Publisher::new(Metadata::sample().tree());
    /// publisher.set("instance/preempted", true).unwrap();
    /// assert_eq!(publisher.reader().snapshot().tree().text("instance/preempted").unwrap(), "TRUE");
    /// ```
    ///
    /// # Errors
    /// If the path can't hold a value, or has more than [`Tree::MAX_DEPTH`] segments, the levels of the value included.
    pub fn set(&self, path: &str, value: impl Into<Value>) -> Result<(), EditError> {
        let value = value.into();
        let edited = self.edit(|tree| tree.with(path, &value));
        depth::dismantle(value);
        edited
    }

    /// Applies a JSON merge patch (RFC 7396) to what is at a path; an empty one is everything. Values get GCE's types, and new
    /// keys are logged, as in [`set`](Self::set).
    ///
    /// ```
    /// # use gce_metadata_routes::{Metadata, Publisher};
    /// # use serde_json::json;
    /// # let publisher = Publisher::new(Metadata::sample().tree());
    /// publisher.merge("instance", json!({"preempted": "TRUE", "attributes": {"my-key": null}})).unwrap();
    /// # let snapshot = publisher.reader().snapshot();
    /// # assert_eq!(snapshot.tree().text("instance/preempted").unwrap(), "TRUE");
    /// # assert!(snapshot.tree().get("instance/attributes/my-key").is_none());
    /// ```
    ///
    /// # Errors
    /// If the path can't hold what comes of it, or has more than [`Tree::MAX_DEPTH`] segments, the levels of the patch included.
    pub fn merge(&self, path: &str, patch: impl Into<Value>) -> Result<(), EditError> {
        let patch = patch.into();
        let edited = self.edit(|tree| tree.with_merged(path, &patch));
        depth::dismantle(patch);
        edited
    }

    /// Removes what is at a path.
    ///
    /// # Errors
    /// If there is nothing.
    pub fn remove(&self, path: &str) -> Result<(), EditError> {
        self.edit(|tree| tree.without(path))
    }

    /// Replaces the tree by one made of it. No other writer comes in between.
    ///
    /// # Errors
    /// If `edit` fails; then nothing changes.
    pub fn edit<E>(&self, edit: impl FnOnce(&Tree) -> Result<Tree, E>) -> Result<(), E> {
        self.change(edit).map(|_| ())
    }

    fn change<E>(&self, make: impl FnOnce(&Tree) -> Result<Tree, E>) -> Result<bool, E> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // Not made within `send_modify`: it holds up every reader, and a large tree takes a while.
        let current = Arc::clone(&self.sender.borrow());
        let tree = listing(make(&current.tree)?, &self.computed);
        let changes = tree != current.tree;
        if changes {
            self.sender.send_replace(Arc::new(Snapshot { tree, generation: current.generation + 1 }));
        }
        Ok(changes)
    }
}

/// Where one can't be listed, because something else is in its way or it is there already, the tree stays as it is.
fn listing(tree: Tree, computed: &[&str]) -> Tree {
    computed.iter().fold(tree, |tree, path| tree.with_computed(path).unwrap_or(tree))
}

/// The reading end.
#[derive(Debug, Clone)]
pub struct Reader {
    receiver: watch::Receiver<Arc<Snapshot>>,
}

impl Reader {
    /// The current state. It stays as it is while it is held.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.receiver.borrow())
    }

    /// The signal that there is another state, for those who wait.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.receiver.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use serde_json::json;

    fn tree(id: &str) -> Tree {
        Metadata::from_json(json!({"project": {"projectId": id}})).unwrap().tree()
    }

    #[test]
    fn what_is_there_already_wakes_nobody() {
        let publisher = Publisher::new(tree("a"));
        let changes = publisher.reader().changes();
        assert!(!publisher.publish(tree("a")));
        publisher.set("project/project-id", "a").unwrap();
        assert!(!changes.has_changed().unwrap());
        assert!(publisher.publish(tree("b")));
        assert!(changes.has_changed().unwrap());
        assert_eq!(publisher.reader().snapshot().generation(), 1);
    }

    #[test]
    fn a_failed_edit_changes_nothing() {
        let publisher = Publisher::new(tree("a"));
        assert!(publisher.remove("project/none").is_err());
        assert!(publisher.set("project/project-id/below", 1).is_err());
        assert_eq!(publisher.reader().snapshot().generation(), 0);
    }

    #[test]
    fn readers_do_not_wait_for_a_writer_that_takes_a_while() {
        let publisher = Publisher::new(tree("a"));
        let reader = publisher.reader();
        let changed = publisher.update(|_| {
            assert_eq!(reader.snapshot().tree().text("project/project-id").unwrap(), "a");
            tree("b")
        });
        assert!(changed);
        assert_eq!(reader.snapshot().tree().text("project/project-id").unwrap(), "b");
    }

    #[test]
    fn what_a_route_answers_is_listed_whatever_is_published() {
        const PATH: &str = "instance/credentials/a-secret";
        let own = json!({"instance": {"id": 1, "credentials": {"aSecret": "mine", "b": 2}}});
        let publisher = Publisher::with_computed(Metadata::from_json(own).unwrap().tree(), [PATH]);
        let shown = || {
            let snapshot = publisher.reader().snapshot();
            let at = |path| Arc::clone(snapshot.tree().get(path).unwrap());
            (at("instance/credentials").listing(), at("instance").json())
        };
        assert_eq!(shown(), ("a-secret\nb\n".into(), r#"{"credentials":{"b":2},"id":1}"#.into()));
        assert!(publisher.set(PATH, "mine").is_err(), "nobody could read it");
        publisher.remove("instance/credentials").unwrap();
        assert_eq!(shown(), ("a-secret\n".into(), r#"{"id":1}"#.into()));
        publisher.merge("", json!({"instance": {"id": 2}})).unwrap();
        assert_eq!(shown(), ("a-secret\n".into(), r#"{"id":2}"#.into()));
        publisher.publish(Metadata::from_json(json!({"instance": {"credentials": 3}})).unwrap().tree());
        assert_eq!(publisher.reader().snapshot().tree().text("instance/credentials").unwrap(), "3");
    }

    #[test]
    fn a_reader_keeps_the_state_it_took() {
        let publisher = Publisher::new(tree("a"));
        let before = publisher.reader().snapshot();
        publisher.set("project/project-id", "b").unwrap();
        assert_eq!(before.tree().text("project/project-id").unwrap(), "a");
    }
}
