//! The current tree: writers replace it through the [`Publisher`], and each request reads it once through a [`Reader`].
//!
//! Writers are the reload of a config file, tests, and requests that set guest attributes. A published value is listed, rendered, tagged
//! and waited for without further code.

mod path_signals;

pub use path_signals::PathSubscription;
#[cfg(test)]
pub(crate) use path_signals::is_signalled;

use crate::depth;
use crate::tree::{EditError, Tree};
use path_signals::PathSignals;
use serde_json::Value;
use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// An immutable state of the metadata: a tree and its generation.
#[derive(Debug, Clone)]
pub struct Snapshot {
    tree: Tree,
    generation: u64,
}

impl Snapshot {
    /// The tree of this state.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The number of states before this one since the publisher was created.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// Holds the current tree and changes it. Clones share the tree. A change wakes the waiting requests whose answer it may change.
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
    signals: Arc<PathSignals>,
    computed: Arc<[&'static str]>,
    /// Serializes writers. Readers never take it.
    write_lock: Arc<Mutex<Announcers>>,
}

/// Functions that are called for each change: see [`Publisher::announce`].
#[derive(Default)]
struct Announcers(Vec<Box<Announcer>>);

type Announcer = dyn Fn(&Snapshot, &Snapshot) -> Option<Box<dyn FnOnce() + Send>> + Send;

impl fmt::Debug for Announcers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Announcers").field(&self.0.len()).finish()
    }
}

impl Publisher {
    /// A publisher whose current tree is this one.
    pub fn new(tree: Tree) -> Self {
        Self::with_computed(tree, [])
    }

    /// A publisher that adds computed leaves at these paths to each tree that it publishes. They are listed, and routes added with
    /// [`Router::with_route`](crate::Router::with_route) answer them.
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
        let snapshot = Snapshot { tree: with_computed_leaves(tree, &computed), generation: 0 };
        let sender = Arc::new(watch::Sender::new(Arc::new(snapshot)));
        Self { sender, signals: Arc::default(), computed, write_lock: Arc::default() }
    }

    /// A reader of the current tree.
    pub fn reader(&self) -> Reader {
        Reader { receiver: self.sender.subscribe(), signals: Arc::clone(&self.signals) }
    }

    /// Calls `prepare` with the states before and after each later change, by this publisher or a clone, before the change is published.
    /// The function that it returns is called at the moment of the change: no reader sees the new state before it has returned, so it
    /// must be quick.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Publisher};
    /// use std::sync::mpsc;
    ///
    /// let publisher = Publisher::new(Metadata::sample().tree());
    /// let (sender, changes) = mpsc::channel();
    /// publisher.announce(move |before, after| {
    ///     let paths = before.tree().changed_paths(after.tree());
    ///     let sender = sender.clone();
    ///     Some(Box::new(move || sender.send(paths).unwrap_or_default()))
    /// });
    /// publisher.set("instance/preempted", true).unwrap();
    /// assert_eq!(changes.recv().unwrap(), ["instance/preempted"]);
    /// ```
    pub fn announce(
        &self,
        prepare: impl Fn(&Snapshot, &Snapshot) -> Option<Box<dyn FnOnce() + Send>> + Send + 'static,
    ) {
        self.lock().0.push(Box::new(prepare));
    }

    fn lock(&self) -> MutexGuard<'_, Announcers> {
        self.write_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the tree, and returns whether it changed. Publishing an equal tree wakes no waiting request.
    pub fn publish(&self, tree: Tree) -> bool {
        self.update(|_| tree)
    }

    /// Replaces the tree by the result of `make`, and returns whether it changed. Other writers wait until it is replaced.
    pub fn update(&self, make: impl FnOnce(&Tree) -> Tree) -> bool {
        let Ok((_, changed)) = self.change::<Infallible>(|tree| Ok(make(tree)));
        changed
    }

    /// Sets the value at a path below `/computeMetadata/v1/`, such as `instance/attributes/my-key`. A service account has a directory for
    /// each of its names; an edit changes one of these directories.
    ///
    /// The value is converted to GCE's type if that is known: `true` becomes `TRUE`, `"42"` becomes a number for `instance/id`, and `5`
    /// becomes a string in attributes. Other values, and those of a config, are not converted. A new key that GCE is not known to
    /// have is served, and logged as a warning.
    ///
    /// ```
    /// # use gce_metadata_routes::{Metadata, Publisher};
    /// # let publisher = Publisher::new(Metadata::sample().tree());
    /// publisher.set("instance/preempted", true).unwrap();
    /// assert_eq!(publisher.reader().snapshot().tree().text("instance/preempted").unwrap(), "TRUE");
    /// ```
    ///
    /// # Errors
    /// If there can be no such value at the path, or if path and value together nest more than [`Tree::MAX_DEPTH`] levels deep.
    pub fn set(&self, path: &str, value: impl Into<Value>) -> Result<(), EditError> {
        let value = value.into();
        let edited = self.edit(|tree| tree.with(path, &value));
        depth::dismantle(value);
        edited.map(|_| ())
    }

    /// Applies a JSON merge patch (RFC 7396) to the node at a path; an empty path is the whole tree. Values are converted, and new
    /// unknown keys logged, as by [`set`](Self::set).
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
    /// If there can be no such value at the path, or if path and patch together nest more than [`Tree::MAX_DEPTH`] levels deep.
    pub fn merge(&self, path: &str, patch: impl Into<Value>) -> Result<(), EditError> {
        let patch = patch.into();
        let edited = self.edit(|tree| tree.with_merged(path, &patch));
        depth::dismantle(patch);
        edited.map(|_| ())
    }

    /// Removes the node at a path.
    ///
    /// # Errors
    /// If there is no such node, or if it is computed.
    pub fn remove(&self, path: &str) -> Result<(), EditError> {
        self.edit(|tree| tree.without(path)).map(|_| ())
    }

    /// Replaces the tree by the result of `edit`, and returns the new state. Other writers wait until the tree is replaced.
    ///
    /// # Errors
    /// The error of `edit`; the tree is unchanged then.
    pub fn edit<E>(&self, edit: impl FnOnce(&Tree) -> Result<Tree, E>) -> Result<Arc<Snapshot>, E> {
        self.change(edit).map(|(snapshot, _)| snapshot)
    }

    /// Returns the state after the change, and whether it differs from the state before.
    fn change<E>(&self, make: impl FnOnce(&Tree) -> Result<Tree, E>) -> Result<(Arc<Snapshot>, bool), E> {
        let announcers = self.lock();
        // Not in `send_modify`: it would block readers while a large tree is built and compared.
        let current = Arc::clone(&self.sender.borrow());
        let tree = with_computed_leaves(make(&current.tree)?, &self.computed);
        if tree == current.tree {
            return Ok((current, false));
        }
        let changed = Arc::new(Snapshot { tree, generation: current.generation + 1 });
        let announcements: Vec<_> = announcers.0.iter().filter_map(|prepare| prepare(&current, &changed)).collect();
        self.sender.send_modify(|state| {
            *state = Arc::clone(&changed);
            announcements.into_iter().for_each(|announce| announce());
        });
        self.signals.signal(&current.tree, &changed.tree);
        Ok((changed, true))
    }
}

/// Adds the computed leaves. A leaf is not added where the tree already has a node, or a value above it.
fn with_computed_leaves(tree: Tree, computed: &[&str]) -> Tree {
    computed.iter().fold(tree, |tree, path| tree.with_computed(path).unwrap_or(tree))
}

/// Reads the current tree of a [`Publisher`]. Clones are cheap.
#[derive(Debug, Clone)]
pub struct Reader {
    receiver: watch::Receiver<Arc<Snapshot>>,
    signals: Arc<PathSignals>,
}

impl Reader {
    /// The current state. It does not change while it is held; read it once per request.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.receiver.borrow())
    }

    /// The change signal: a receiver that is notified of each new state.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.receiver.clone()
    }

    /// Subscribes to the changes of the node at this path below `/computeMetadata/v1/`, or to each change.
    pub(crate) fn subscribe(&self, path: Option<&str>) -> PathSubscription {
        self.signals.subscribe(path)
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
    fn publishing_an_equal_tree_wakes_no_waiter() {
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
    fn each_change_is_announced_before_waiters_wake_and_equal_trees_are_not() {
        let publisher = Publisher::new(tree("a"));
        let changes = publisher.reader().changes();
        let (sender, announced) = std::sync::mpsc::channel();
        publisher.announce(move |before, after| {
            let (sender, generations) = (sender.clone(), (before.generation(), after.generation()));
            let changes = changes.clone();
            Some(Box::new(move || sender.send((generations, changes.has_changed().unwrap())).unwrap()))
        });
        publisher.clone().publish(tree("b"));
        publisher.publish(tree("b"));
        publisher.publish(tree("c"));
        let announced: Vec<_> = announced.try_iter().collect();
        assert_eq!(announced, [((0, 1), false), ((1, 2), true)]);
    }

    #[test]
    fn a_failed_edit_changes_nothing() {
        let publisher = Publisher::new(tree("a"));
        assert!(publisher.remove("project/none").is_err());
        assert!(publisher.set("project/project-id/below", 1).is_err());
        assert_eq!(publisher.reader().snapshot().generation(), 0);
    }

    #[test]
    fn an_edit_returns_the_state_that_it_has_published() {
        let publisher = Publisher::new(tree("a"));
        let edit = |id: &str| {
            let snapshot = publisher.edit(|tree| tree.with("project/project-id", &id.into())).unwrap();
            (snapshot.tree().text("project/project-id").unwrap().to_owned(), snapshot.generation())
        };
        assert_eq!((edit("b"), edit("b"), edit("c")), (("b".into(), 1), ("b".into(), 1), ("c".into(), 2)));
    }

    #[test]
    fn readers_do_not_wait_for_a_slow_writer() {
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
    fn computed_leaves_are_listed_in_each_published_tree() {
        const PATH: &str = "instance/credentials/a-secret";
        let own = json!({"instance": {"id": 1, "credentials": {"aSecret": "mine", "b": 2}}});
        let publisher = Publisher::with_computed(Metadata::unfilled(own).tree(), [PATH]);
        let shown = || {
            let snapshot = publisher.reader().snapshot();
            let at = |path| Arc::clone(snapshot.tree().get(path).unwrap());
            (at("instance/credentials").listing(), at("instance").json())
        };
        assert_eq!(shown(), ("a-secret\nb\n".into(), r#"{"credentials":{"b":2},"id":1}"#.into()));
        assert!(publisher.set(PATH, "mine").is_err(), "the endpoint would hide it");
        publisher.remove("instance/credentials").unwrap();
        assert_eq!(shown(), ("a-secret\n".into(), r#"{"id":1}"#.into()));
        publisher.merge("", json!({"instance": {"id": 2}})).unwrap();
        assert_eq!(shown(), ("a-secret\n".into(), r#"{"id":2}"#.into()));
        publisher.publish(Metadata::from_json(json!({"instance": {"credentials": 3}})).unwrap().tree());
        assert_eq!(publisher.reader().snapshot().tree().text("instance/credentials").unwrap(), "3");
    }

    #[test]
    fn a_snapshot_does_not_change() {
        let publisher = Publisher::new(tree("a"));
        let before = publisher.reader().snapshot();
        publisher.set("project/project-id", "b").unwrap();
        assert_eq!(before.tree().text("project/project-id").unwrap(), "a");
    }
}
