//! The watched folders of the files: those of their paths, and those of the targets of symbolic links.

use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// The events of the watched folders.
#[derive(Default)]
pub(super) struct Events {
    pub(super) arrived: Notify,
    /// An event was about a file itself. Its stamp may be unchanged, because two quick writes can have equal time
    /// stamps.
    pub(super) of_file: AtomicBool,
    /// The names of the files and of the targets of their symbolic links.
    names: Mutex<BTreeSet<OsString>>,
}

impl Events {
    fn add(&self, event: &Event) {
        // A read raises an event too, and must not cause another read.
        if event.kind.is_access() {
            return;
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let is_of_file = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
        if event.need_rescan() || event.paths.iter().any(is_of_file) {
            self.of_file.store(true, Ordering::Relaxed);
        }
        self.arrived.notify_one();
    }
}

/// The watcher of the folders of the files.
pub(super) struct Folders {
    files: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    events: Arc<Events>,
}

impl Folders {
    pub(super) fn new(files: Vec<PathBuf>, events: Arc<Events>, poll: Duration) -> Self {
        let watcher = watcher(Arc::clone(&events)).inspect_err(|error| {
            tracing::warn!("no file watcher, polling files every {} s: {error}", poll.as_secs());
        });
        Self { files, watcher: watcher.ok(), watched: BTreeSet::new(), events }
    }

    /// Watches the current folders of the files. Every folder is watched again, because a deleted and recreated folder
    /// keeps its path but loses its watch.
    pub(super) fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut targets = watch_targets(&self.files);
        loop {
            for old in self.watched.difference(&targets.folders) {
                // This fails if the folder was deleted.
                let _ = watcher.unwatch(old);
            }
            let mut is_watched = |folder: &PathBuf| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
            self.watched = targets.folders.iter().filter(|folder| is_watched(folder)).cloned().collect();
            // A folder that was created before its parent was watched raised no event.
            let now = watch_targets(&self.files);
            if now.folders == targets.folders {
                break;
            }
            targets = now;
        }
        *self.events.names.lock().unwrap_or_else(PoisonError::into_inner) = targets.names;
    }
}

/// A watcher whose thread runs. If the thread can't be started, notify returns no error, and panics when the watcher is
/// used or dropped.
fn watcher(events: Arc<Events>) -> notify::Result<RecommendedWatcher> {
    let add = move |event: notify::Result<Event>| {
        if let Ok(event) = event {
            events.add(&event);
        }
    };
    let mut watcher = notify::recommended_watcher(add)?;
    // `configure` sends a message to the thread. It is the only call that returns an error if the thread does not run.
    match watcher.configure(Config::default()) {
        Ok(_) => Ok(watcher),
        Err(error) => {
            std::mem::forget(watcher);
            Err(error)
        }
    }
}

/// The folders to watch, and the file names whose events matter.
struct WatchTargets {
    folders: BTreeSet<PathBuf>,
    names: BTreeSet<OsString>,
}

fn watch_targets(files: &[PathBuf]) -> WatchTargets {
    let mut targets = WatchTargets { folders: BTreeSet::new(), names: BTreeSet::new() };
    for file in files {
        for path in [Some(file.clone()), file.canonicalize().ok()].into_iter().flatten() {
            targets.folders.insert(nearest_folder(&path));
            targets.names.extend(path.file_name().map(OsString::from));
        }
    }
    targets
}

/// The nearest existing ancestor of the file.
fn nearest_folder(file: &Path) -> PathBuf {
    let existing = file.ancestors().skip(1).find(|folder| folder.is_dir());
    match existing {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The inode, length, modification time and link target of a file, which are compared without reading it; `None`
/// without a file.
pub(super) type Stamp = Option<(u64, u64, SystemTime, PathBuf)>;

pub(super) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = file.metadata().ok()?;
        Some((metadata.ino(), metadata.len(), metadata.modified().ok()?, file.canonicalize().ok()?))
    };
    files.iter().map(stamp).collect()
}
