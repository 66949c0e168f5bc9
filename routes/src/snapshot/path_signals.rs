//! Signals of changes by path: a change wakes only the requests whose answer it may change.
//!
//! A request subscribes to the node at a path, or to each change. A published tree is compared with the one before at the subscribed
//! paths only.
//!
//! Thousands of requests may wait on one thread, and waking a task of another thread is a system call. So the requests that wait for
//! one path on one thread share a [`Signal`]. The publisher wakes one of them, which wakes the others on its own thread.

use crate::tree::{Node, Tree, segments};
use gce_metadata_layers::wait_for_change::Subscription;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use tokio::sync::Notify;

/// The subscriptions to the changes of a publisher.
#[derive(Debug, Default)]
pub(super) struct PathSignals(Mutex<Subscribed>);

#[derive(Debug, Default)]
struct Subscribed {
    /// Signalled by each change.
    to_any: Signals,
    root: Place,
}

/// A path with subscriptions at or below it.
#[derive(Debug, Default)]
struct Place {
    signals: Signals,
    below: BTreeMap<Box<str>, Place>,
}

/// The signals of one path by thread, with their number of subscriptions.
#[derive(Debug, Default)]
struct Signals(Vec<(Arc<Signal>, usize)>);

/// Wakes the requests that wait for one path on one thread.
#[derive(Debug)]
struct Signal {
    /// `None`: each change.
    path: Option<Box<str>>,
    /// The thread that has subscribed. A task that moves to another thread is woken too.
    thread: ThreadId,
    /// The number of changes.
    changes: AtomicU64,
    /// The number of changes at the last time when all waiting tasks were woken.
    woken: AtomicU64,
    notify: Notify,
}

/// A subscription to the changes of a [`Router`](crate::Router).
pub struct PathSubscription {
    signals: Arc<PathSignals>,
    signal: Arc<Signal>,
    seen: u64,
}

impl PathSignals {
    /// Subscribes to the changes of the node at this path, or to each change. Too deep a path has no node; it is not looked up, because
    /// that is recursive.
    pub(super) fn subscribe(self: &Arc<Self>, path: Option<&str>) -> PathSubscription {
        let path = path.filter(|path| segments(path).len() <= Tree::MAX_DEPTH);
        let mut subscribed = self.lock();
        let signals = match path {
            Some(path) => &mut subscribed.root.at(path).signals,
            None => &mut subscribed.to_any,
        };
        let signal = signals.subscribe(path);
        PathSubscription { signals: Arc::clone(self), seen: signal.changes.load(Ordering::Acquire), signal }
    }

    /// Signals the change from one tree to another one, which has been published: a request that subscribes during this call has
    /// subscribed before it reads the tree.
    pub(super) fn signal(&self, before: &Tree, after: &Tree) {
        let mut signals = Vec::new();
        let subscribed = self.lock();
        subscribed.to_any.collect(&mut signals);
        subscribed.root.collect_changed(Some(&before.root), Some(&after.root), &mut signals);
        drop(subscribed);
        signals.iter().for_each(|signal| signal.change());
    }

    fn lock(&self) -> MutexGuard<'_, Subscribed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn at(&mut self, path: &str) -> &mut Self {
        segments(path).into_iter().fold(self, |place, segment| place.below.entry(segment.into()).or_default())
    }

    /// Collects the signals at and below this place whose node has changed.
    fn collect_changed(&self, before: Option<&Arc<Node>>, after: Option<&Arc<Node>>, into: &mut Vec<Arc<Signal>>) {
        match (before, after) {
            (None, None) => return,
            // Trees share the nodes that an edit did not change.
            (Some(before), Some(after)) if Arc::ptr_eq(before, after) => return,
            _ => {}
        }
        if !self.signals.0.is_empty() && before != after {
            self.signals.collect(into);
        }
        for (segment, place) in &self.below {
            let child = |node: Option<&'_ Arc<Node>>| node?.child(segment).cloned();
            place.collect_changed(child(before).as_ref(), child(after).as_ref(), into);
        }
    }

    /// Ends a subscription below this place, and removes the places that have no further one.
    fn unsubscribe(&mut self, path: &[&str], signal: &Arc<Signal>) {
        let Some((segment, rest)) = path.split_first() else { return self.signals.unsubscribe(signal) };
        let Some(place) = self.below.get_mut(*segment) else { return };
        place.unsubscribe(rest, signal);
        if place.signals.0.is_empty() && place.below.is_empty() {
            self.below.remove(*segment);
        }
    }
}

impl Signals {
    fn subscribe(&mut self, path: Option<&str>) -> Arc<Signal> {
        let thread = thread::current().id();
        if let Some((signal, subscriptions)) = self.0.iter_mut().find(|(signal, _)| signal.thread == thread) {
            *subscriptions += 1;
            return Arc::clone(signal);
        }
        let (changes, woken) = (AtomicU64::new(0), AtomicU64::new(0));
        let signal = Arc::new(Signal { path: path.map(Into::into), thread, changes, woken, notify: Notify::new() });
        self.0.push((Arc::clone(&signal), 1));
        signal
    }

    fn unsubscribe(&mut self, signal: &Arc<Signal>) {
        let Some(index) = self.0.iter().position(|(it, _)| Arc::ptr_eq(it, signal)) else { return };
        self.0[index].1 -= 1;
        if self.0[index].1 == 0 {
            self.0.swap_remove(index);
        }
    }

    fn collect(&self, into: &mut Vec<Arc<Signal>>) {
        into.extend(self.0.iter().map(|(signal, _)| Arc::clone(signal)));
    }
}

impl Signal {
    fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        // If the task that is woken ends before it is polled, tokio wakes another one.
        self.notify.notify_one();
    }
}

impl Subscription for PathSubscription {
    async fn changed(&mut self) -> bool {
        let Signal { changes, woken, notify, .. } = &*self.signal;
        loop {
            // Before the counter is read: `notify_waiters` wakes each of these futures that was created before it.
            let notified = notify.notified();
            let number = changes.load(Ordering::Acquire);
            if number != self.seen {
                self.seen = number;
                if woken.swap(number, Ordering::AcqRel) != number {
                    notify.notify_waiters();
                }
                return true;
            }
            notified.await;
        }
    }
}

impl Drop for PathSubscription {
    fn drop(&mut self) {
        let mut subscribed = self.signals.lock();
        match &self.signal.path {
            Some(path) => subscribed.root.unsubscribe(&segments(path), &self.signal),
            None => subscribed.to_any.unsubscribe(&self.signal),
        }
    }
}

impl fmt::Debug for PathSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathSubscription").field("path", &self.signal.path).finish_non_exhaustive()
    }
}

/// Whether a change was signalled that `changed` has not returned yet.
#[cfg(test)]
pub(crate) fn is_signalled(subscription: &mut PathSubscription) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(subscription.changed()).poll(&mut context).is_ready()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Metadata, Publisher};
    use serde_json::{Value, json};
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Wake};

    fn publisher(config: Value) -> Publisher {
        Publisher::new(Metadata::unfilled(config).tree())
    }

    fn config(a: &str) -> Value {
        json!({"instance": {"attributes": {"a": a, "b": "1"}, "disks": [{"index": 0}]}, "project": {"attributes": {"a": "1"}}})
    }

    const PATHS: [Option<&str>; 9] = [
        None,
        Some(""),
        Some("instance/"),
        Some("instance/attributes/"),
        Some("instance/attributes/a"),
        Some("instance/attributes/b"),
        Some("instance/attributes/none"),
        Some("instance/disks/0/index"),
        Some("project/attributes/a"),
    ];

    /// The subscribed paths that this change signals; "any" for the subscription to each change.
    fn signalled(change: impl FnOnce(&Publisher)) -> Vec<&'static str> {
        let publisher = publisher(config("1"));
        let mut subscriptions = PATHS.map(|path| (path.unwrap_or("any"), publisher.reader().subscribe(path)));
        change(&publisher);
        let signalled = subscriptions.iter_mut().filter_map(|(path, it)| is_signalled(it).then_some(*path)).collect();
        assert!(!subscriptions.iter_mut().any(|(_, it)| is_signalled(it)), "a change is signalled once");
        signalled
    }

    #[test]
    fn a_change_signals_its_path_the_directories_above_and_the_paths_below() {
        let above = ["any", "", "instance/", "instance/attributes/"];
        let with = |more: &[&'static str]| [&above, more].concat();
        assert_eq!(signalled(|it| it.set("instance/attributes/a", "2").unwrap()), with(&["instance/attributes/a"]));
        assert_eq!(
            signalled(|it| it.set("instance/attributes/none", "2").unwrap()),
            with(&["instance/attributes/none"])
        );
        let both = ["instance/attributes/a", "instance/attributes/b"];
        assert_eq!(signalled(|it| it.remove("instance/attributes").unwrap()), with(&both));
        assert_eq!(signalled(|it| it.set("instance/attributes/a", "1").unwrap()), [""; 0], "no change");
    }

    #[test]
    fn a_reload_signals_the_paths_whose_values_differ() {
        let reload = |config| signalled(|it| _ = it.publish(Metadata::unfilled(config).tree()));
        assert_eq!(reload(config("2")), ["any", "", "instance/", "instance/attributes/", "instance/attributes/a"]);
        assert_eq!(reload(config("1")), [""; 0]);
    }

    #[test]
    fn a_change_of_os_login_signals_no_path() {
        let os_login = crate::OsLogin::from_json(json!({})).unwrap();
        let tree = Metadata::unfilled(config("1")).tree().with_os_login(Some(Arc::new(os_login)));
        assert_eq!(signalled(|it| _ = it.publish(tree)), ["any"]);
    }

    #[test]
    fn a_path_of_too_many_segments_is_signalled_by_each_change() {
        let publisher = publisher(config("1"));
        let mut subscription = publisher.reader().subscribe(Some(&"a/".repeat(100_000)));
        publisher.set("project/attributes/a", "2").unwrap();
        assert!(is_signalled(&mut subscription));
    }

    #[test]
    fn an_ended_subscription_leaves_nothing_behind() {
        let publisher = publisher(config("1"));
        let reader = publisher.reader();
        let (first, second) =
            (reader.subscribe(Some("instance/attributes/a")), reader.subscribe(Some("instance/attributes/a")));
        let others = PATHS.map(|path| reader.subscribe(path));
        drop(first);
        publisher.set("instance/attributes/a", "2").unwrap();
        drop((second, others));
        let subscribed = reader.signals.lock();
        assert!(
            subscribed.root.below.is_empty() && subscribed.root.signals.0.is_empty() && subscribed.to_any.0.is_empty()
        );
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A task that waits for a change.
    struct Waiting {
        future: Pin<Box<dyn Future<Output = bool>>>,
        wakes: Arc<Wakes>,
    }

    impl Waiting {
        fn new(publisher: &Publisher, path: &str) -> Self {
            let mut subscription = publisher.reader().subscribe(Some(path));
            let future = Box::pin(async move { subscription.changed().await });
            let mut waiting = Self { future, wakes: Arc::default() };
            assert!(!waiting.is_ready());
            waiting
        }

        fn is_ready(&mut self) -> bool {
            self.future.as_mut().poll(&mut Context::from_waker(&Arc::clone(&self.wakes).into())).is_ready()
        }

        fn wakes(&self) -> usize {
            self.wakes.0.load(Ordering::Relaxed)
        }
    }

    fn on_another_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| thread::Builder::new().spawn_scoped(scope, run).unwrap().join().unwrap())
    }

    #[test]
    fn a_change_wakes_one_task_of_a_thread_which_wakes_the_others() {
        let publisher = publisher(config("1"));
        let mut waiting: Vec<_> = (0..5).map(|_| Waiting::new(&publisher, "instance/attributes/a")).collect();
        let elsewhere = Waiting::new(&publisher, "instance/attributes/b");
        let wakes = |waiting: &[Waiting]| waiting.iter().map(Waiting::wakes).collect::<Vec<_>>();
        on_another_thread(|| publisher.set("instance/attributes/a", "2").unwrap());
        assert_eq!(wakes(&waiting), [1, 0, 0, 0, 0]);
        // The task ends before it has run, as that of a client that leaves.
        drop(waiting.remove(0));
        assert_eq!(wakes(&waiting), [1, 0, 0, 0]);
        assert!(waiting[0].is_ready());
        assert_eq!(wakes(&waiting), [1, 1, 1, 1]);
        assert!(waiting[1..].iter_mut().all(Waiting::is_ready));
        assert_eq!(elsewhere.wakes(), 0);
    }

    #[test]
    fn each_thread_that_waits_is_woken() {
        let publisher = publisher(config("1"));
        let subscribe = || publisher.reader().subscribe(Some("instance/attributes/a"));
        let there = on_another_thread(subscribe);
        let mut subscriptions = [there, subscribe()];
        publisher.set("instance/attributes/a", "2").unwrap();
        assert!(subscriptions.iter_mut().all(is_signalled));
    }
}
