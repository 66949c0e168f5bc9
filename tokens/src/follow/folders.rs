//! In which folders a change of files shows: those of their names, and those of what their names lead to.

use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;

/// What has happened in the watched folders.
#[derive(Default)]
pub(super) struct Events {
    pub(super) arrived: Notify,
    /// One was about a file itself, which a look from outside might not show: two quick writes can have one time stamp.
    pub(super) of_file: AtomicBool,
    /// What the files are called, at both ends of their links.
    names: Mutex<BTreeSet<OsString>>,
}

impl Events {
    fn add(&self, event: &Event) {
        // Reading the file is an event too, and must not lead to reading it.
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

/// The folders in which changes of the files show.
pub(super) struct Folders {
    files: Vec<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    events: Arc<Events>,
}

impl Folders {
    pub(super) fn new(files: Vec<PathBuf>, events: Arc<Events>, poll: Duration) -> Self {
        let watcher = watcher(Arc::clone(&events)).inspect_err(|error| {
            tracing::warn!("changes of files are noticed within {} s only: {error}", poll.as_secs());
        });
        Self { files, watcher: watcher.ok(), watched: BTreeSet::new(), events }
    }

    /// Watches where the files are now. A folder that was deleted and made again is another one under an old name, which
    /// only watching it anew finds out.
    pub(super) fn watch(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let mut wanted = wanted(&self.files);
        loop {
            for gone in self.watched.difference(&wanted.folders) {
                // It may be gone from the disk as well.
                let _ = watcher.unwatch(gone);
            }
            let mut is_watched = |folder: &PathBuf| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok();
            self.watched = wanted.folders.iter().filter(|folder| is_watched(folder)).cloned().collect();
            // What came into being before it was watched raised no event.
            let now = self::wanted(&self.files);
            if now.folders == wanted.folders {
                break;
            }
            wanted = now;
        }
        *self.events.names.lock().unwrap_or_else(PoisonError::into_inner) = wanted.names;
    }
}

/// A watcher whose thread runs. If the system refuses the thread, notify does not say so, and panics whenever the watcher is
/// used or dropped.
fn watcher(events: Arc<Events>) -> notify::Result<RecommendedWatcher> {
    let add = move |event: notify::Result<Event>| {
        if let Ok(event) = event {
            events.add(&event);
        }
    };
    let mut watcher = notify::recommended_watcher(add)?;
    // This asks the thread, and is the one call that reports its absence as an error.
    match watcher.configure(Config::default()) {
        Ok(_) => Ok(watcher),
        Err(error) => {
            std::mem::forget(watcher);
            Err(error)
        }
    }
}

struct Wanted {
    folders: BTreeSet<PathBuf>,
    names: BTreeSet<OsString>,
}

/// Where changes of the files show at the moment, and under which names.
fn wanted(files: &[PathBuf]) -> Wanted {
    let mut wanted = Wanted { folders: BTreeSet::new(), names: BTreeSet::new() };
    for file in files {
        for end in [Some(file.clone()), file.canonicalize().ok()].into_iter().flatten() {
            wanted.folders.insert(nearest_folder(&end));
            wanted.names.extend(end.file_name().map(OsString::from));
        }
    }
    wanted
}

/// The folder of the file, or the one in which that folder would come into being.
fn nearest_folder(file: &Path) -> PathBuf {
    let existing = file.ancestors().skip(1).find(|folder| folder.is_dir());
    match existing {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What a look at a file without reading it tells; nothing where there is none.
pub(super) type Stamp = Option<(u64, u64, SystemTime, PathBuf)>;

pub(super) fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = file.metadata().ok()?;
        Some((metadata.ino(), metadata.len(), metadata.modified().ok()?, file.canonicalize().ok()?))
    };
    files.iter().map(stamp).collect()
}
