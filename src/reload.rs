//! Follows the config file: whatever way it changes, its new content is published, and a mistake in it changes nothing.
//!
//! Editors write in place or rename over, Kubernetes swaps a link three folders up, people delete a folder and make it
//! anew. So the folders are watched, not the file. A poll, slow and cheap, catches what slips through, and is all there is
//! where the system can't watch.

mod folders;

use crate::config::ConfigFile;
use folders::{Events, Folders, Stamp};
use gce_metadata_routes::Publisher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// An editor's single save is several events.
const DEBOUNCE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// How often a changed config was loaded and refused.
#[derive(Debug, Default)]
pub struct ReloadCounts {
    good: AtomicU64,
    bad: AtomicU64,
    last_was_bad: AtomicBool,
}

impl ReloadCounts {
    /// Changes that were taken over.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Changes that could not be, so that the metadata stayed as it was.
    pub fn bad(&self) -> u64 {
        self.bad.load(Ordering::Relaxed)
    }

    /// Whether what the file says is what is served.
    pub fn last_was_good(&self) -> bool {
        !self.last_was_bad.load(Ordering::Relaxed)
    }

    fn count(&self, good: bool) {
        let counter = if good { &self.good } else { &self.bad };
        counter.fetch_add(1, Ordering::Relaxed);
        self.last_was_bad.store(!good, Ordering::Relaxed);
    }
}

/// Loads the file again and again. Runs until it is dropped.
pub(crate) struct Reload {
    file: ConfigFile,
    publisher: Publisher,
    counts: Arc<ReloadCounts>,
    /// Somebody wants it loaded at once.
    wanted: Arc<Notify>,
    /// What was loaded last, good or bad; an event that changed nothing is not worth a line in the log.
    last: Option<Result<Vec<u8>, String>>,
}

impl Reload {
    /// `loaded` is what the publisher's first tree was made of.
    pub(crate) fn new(
        file: ConfigFile,
        loaded: Vec<u8>,
        publisher: Publisher,
        counts: Arc<ReloadCounts>,
        wanted: Arc<Notify>,
    ) -> Self {
        Self { file, publisher, counts, wanted, last: Some(Ok(loaded)) }
    }

    /// Follows the file. What touches the disk runs where it may block: a file system that hangs must not hang the server.
    pub(crate) async fn run(self) {
        let (events, wanted) = (Arc::new(Events::default()), Arc::clone(&self.wanted));
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watched = Arc::clone(&events);
        let start = move || {
            let folders = Folders::new(self.file.path(), watched, POLL);
            let mut follower = Follower { reload: self, folders, seen: Stamp::nothing() };
            // It may have changed since it was read, before anybody watched.
            follower.look(true);
            follower
        };
        let mut follower = spawn_blocking(start).await;
        while let Ok(mut current) = follower {
            let must_read = tokio::select! {
                () = events.arrived.notified() => {
                    sleep(DEBOUNCE).await;
                    events.of_file.swap(false, Ordering::Relaxed)
                }
                () = wanted.notified() => {
                    tracing::info!(path = %current.reload.file.path().display(), "reload asked for");
                    current.reload.last = None;
                    true
                }
                _ = poll.tick() => false,
            };
            follower = spawn_blocking(move || {
                current.look(must_read);
                current
            })
            .await;
        }
        tracing::error!("the config file is no longer followed, because following it failed unexpectedly");
    }

    fn load(&mut self) {
        let read = self.file.read();
        let is_the_same = match (&read, &self.last) {
            (Ok(bytes), Some(Ok(last))) => bytes == last,
            (Err(error), Some(Err(last))) => error.to_string() == *last,
            _ => false,
        };
        if is_the_same {
            return;
        }
        let outcome = read.as_ref().map_err(ToString::to_string).and_then(|bytes| {
            let metadata = self.file.parse(bytes).map_err(|error| error.to_string())?;
            Ok(self.publisher.publish(metadata.tree()))
        });
        self.counts.count(outcome.is_ok());
        match outcome {
            Ok(changed) => {
                let generation = self.publisher.reader().snapshot().generation();
                tracing::info!(path = %self.file.path().display(), changed, generation, "config reloaded");
            }
            Err(error) => tracing::error!("config not reloaded, the metadata stays as it was: {error}"),
        }
        self.last = Some(read.map_err(|error| error.to_string()));
    }
}

/// The loader and what it watches.
struct Follower {
    reload: Reload,
    folders: Folders,
    seen: Stamp,
}

impl Follower {
    /// Loads the file if it looks like another one, or must be read anyhow.
    fn look(&mut self, must_read: bool) {
        // Before the file is read: a change after that raises another event.
        self.folders.watch();
        let now = Stamp::of(self.reload.file.path());
        if must_read || now != self.seen {
            self.seen = now;
            self.reload.load();
        }
    }
}
