//! Follows the config file: whatever way it changes, its new content is published, and a mistake in it changes nothing.
//!
//! Editors write in place or rename over, Kubernetes swaps a link three folders up, people delete a folder and make it
//! anew. So the folders are watched, not the file: that of its name and that of what its name leads to. A poll, slow
//! and cheap, catches what slips through, and is all there is where the system can't watch.

use crate::config::ConfigFile;
use gce_metadata_routes::Publisher;
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
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

    pub(crate) async fn run(mut self) {
        let events = Arc::new(Notify::new());
        let mut folders = Folders::new(self.file.path(), Arc::clone(&events));
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Stamp::of(self.file.path());
        loop {
            tokio::select! {
                () = events.notified() => {
                    sleep(DEBOUNCE).await;
                }
                () = self.wanted.notified() => {
                    tracing::info!(path = %self.file.path().display(), "reload asked for");
                    self.last = None;
                }
                _ = poll.tick() => {
                    folders.watch();
                    let now = Stamp::of(self.file.path());
                    if now == seen {
                        continue;
                    }
                }
            }
            // Before the file is read: a change after that raises another event.
            folders.watch();
            seen = Stamp::of(self.file.path());
            self.load();
        }
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

/// The folders in which a change of the file shows.
struct Folders {
    file: PathBuf,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
}

impl Folders {
    fn new(file: &Path, events: Arc<Notify>) -> Self {
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading the file is an event too, and must not lead to reading it.
            if !event.is_ok_and(|event| event.kind.is_access()) {
                events.notify_one();
            }
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!("changes of the config are noticed within {} s only: {error}", POLL.as_secs());
        });
        let mut folders = Self { file: file.to_owned(), watcher: watcher.ok(), watched: BTreeSet::new() };
        folders.watch();
        folders
    }

    /// Watches where the file is now. A folder that was deleted and made again is another one under an old name, which
    /// only watching it anew finds out.
    fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folder = |file: &Path| match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let canonical = self.file.canonicalize().ok();
        let wanted: BTreeSet<_> =
            [Some(folder(&self.file)), canonical.as_deref().map(folder)].into_iter().flatten().collect();
        for gone in self.watched.difference(&wanted) {
            // It may be gone from the disk as well.
            let _ = watcher.unwatch(gone);
        }
        self.watched =
            wanted.into_iter().filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok()).collect();
    }
}

/// What a look at the file without reading it tells.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(Option<(u64, SystemTime, PathBuf)>);

impl Stamp {
    fn of(file: &Path) -> Self {
        let look = || {
            let metadata = file.metadata().ok()?;
            Some((metadata.len(), metadata.modified().ok()?, file.canonicalize().ok()?))
        };
        Self(look())
    }
}
