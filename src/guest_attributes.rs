//! Persists guest attributes in a file, which is rewritten after each change, so that they survive a restart.
//!
//! The file is written on a thread that may block, and replaced atomically: a reader, or a server that starts after a crash, never
//! finds a partial state. A guest's write is answered before it is on disk, unless each write is synced
//! ([`GuestAttributesStore::service`]).

mod lock;

pub(crate) use lock::Lock;

use crate::blocking::blocking;
use crate::config::json::{self, JsonError};
use crate::files::{self, Limit};
use gce_metadata_routes::{GuestAttributes, Node, Reader, SaveGuestAttributes, Tree};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

/// Mode of the file: guest attributes may be secrets.
const MODE: u32 = 0o600;

/// The time after which a failed save is retried, unless a change causes a save before.
const RETRY: Duration = Duration::from_secs(10);

/// Error of the file of guest attributes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestAttributesError {
    /// The file exists and can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file exists and does not contain guest attributes.
    #[error("{}:{line}:{column}: at {problem}; an object of objects of strings is expected: mend the file, or remove it to begin anew", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The place in the JSON and what is wrong there.
        problem: String,
    },
    /// Another server uses the file.
    #[error("{}: another server keeps guest attributes in this file: stop it, or choose another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file, or the lock beside it, can't be written.
    #[error("{}: can't be written: {error}; choose a file in a folder that this user may write to", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Returns the tree with the attributes of the file, or unchanged if the file does not exist.
pub(crate) fn restored(path: &Path, tree: &Tree) -> Result<Tree, GuestAttributesError> {
    let stored = match files::read(path, Limit::GUEST_ATTRIBUTES) {
        Ok(stored) => stored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tree.clone()),
        Err(error) => return Err(GuestAttributesError::Unreadable { path: path.to_owned(), error }),
    };
    let invalid =
        |line, column, problem| GuestAttributesError::Invalid { path: path.to_owned(), line, column, problem };
    let json = json::parse(&stored).map_err(|JsonError { line, column, place, problem }| {
        let problem = format!("{place}: {problem}");
        invalid(line, column, problem)
    })?;
    let attributes = GuestAttributes::from_json(json).map_err(|error| {
        let (line, column) = json::locate(&stored, error.path());
        invalid(line, column, error.to_string())
    })?;
    tree.with_guest_attributes(&attributes).map_err(|error| invalid(1, 1, format!("top level: {error}")))
}

/// Resolves symbolic links: a save replaces the file itself and not a link to it.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Receives the outcome of each save, for monitoring.
pub(crate) trait SaveEvents: Send + Sync {
    fn saved(&self, ok: bool) {
        _ = ok;
    }
}

impl SaveEvents for () {}

/// Saves guest attributes to the file.
pub(crate) struct GuestAttributesStore {
    path: PathBuf,
    /// Whether the file did not exist before.
    is_new: bool,
    _lock: Lock,
    reader: Reader,
    events: Arc<dyn SaveEvents>,
    /// The number of attempts to save that have begun.
    begun: AtomicU64,
    /// Locked during an attempt, so that none overwrites a newer state.
    last: Arc<tokio::sync::Mutex<Attempt>>,
    /// Why the current state is not on disk.
    problem: Mutex<Option<Arc<io::Error>>>,
}

impl fmt::Debug for GuestAttributesStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestAttributesStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The last attempt to save.
#[derive(Debug)]
struct Attempt {
    /// Its number, from 1; 0 before the first one.
    number: u64,
    outcome: Result<(), Arc<io::Error>>,
    /// The content of the file.
    saved: Option<Arc<Node>>,
}

impl GuestAttributesStore {
    /// Writes the file for the first time, which shows whether it is writable.
    pub(crate) async fn start(
        path: PathBuf,
        lock: Lock,
        reader: Reader,
        events: Arc<dyn SaveEvents>,
    ) -> Result<Arc<Self>, GuestAttributesError> {
        let path = resolved(&path);
        let last = Attempt { number: 0, outcome: Ok(()), saved: None };
        let store = Arc::new(Self {
            is_new: path.symlink_metadata().is_err(),
            path,
            _lock: lock,
            reader,
            events,
            begun: AtomicU64::new(0),
            last: Arc::new(tokio::sync::Mutex::new(last)),
            problem: Mutex::default(),
        });
        let unwritable = |error: Arc<io::Error>| GuestAttributesError::Unwritable {
            path: store.path.clone(),
            error: io::Error::new(error.kind(), error),
        };
        store.save().await.map_err(unwritable)?;
        Ok(store)
    }

    /// Removes the file if [`start`](Self::start) has created it, for a server that fails to start for another reason.
    pub(crate) fn remove_if_new(&self) {
        if self.is_new {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Saves each published change until the server stops. Logs when saving begins to fail and when it works again.
    pub(crate) async fn save_changes(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.reader.changes();
        let mut logged = None;
        while !stop.is_cancelled() {
            let problem = self.save().await.err().map(|error| error.to_string());
            if problem != logged {
                self.log(problem.as_deref());
                logged.clone_from(&problem);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = after(problem.map(|_| RETRY)) => {}
                () = stop.cancelled() => {}
            }
        }
        self.save_or_log().await;
    }

    /// Saves the current state, and logs an error.
    pub(crate) async fn save_or_log(self: &Arc<Self>) {
        if let Err(error) = self.save().await {
            self.log(Some(&error.to_string()));
        }
    }

    fn log(&self, problem: Option<&str>) {
        let path = self.path.display();
        match problem {
            Some(problem) => tracing::error!(%path, "guest attributes not saved: {problem}"),
            None => tracing::info!(%path, "guest attributes saved again"),
        }
    }

    /// Saves the attributes that are published now. Concurrent callers share saves (group commit): those who call during a save
    /// wait for the next one, which is made for all of them.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), Arc<io::Error>> {
        let begun = self.begun.load(Ordering::SeqCst);
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if last.number > begun {
            // That attempt began after this call, so it has read a state that includes the caller's change.
            return last.outcome.clone();
        }
        let store = Arc::clone(self);
        // The guard moves to the thread: if the caller is cancelled, no second attempt begins during this one.
        let attempt = blocking(move || {
            store.attempt(&mut last);
            last.outcome.clone()
        });
        attempt.await.unwrap_or_else(|error| {
            let error = Arc::new(error);
            self.set_problem(Some(Arc::clone(&error)));
            Err(error)
        })
    }

    fn attempt(&self, last: &mut Attempt) {
        last.number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let current = self.reader.snapshot().tree().get("instance/guest-attributes").cloned();
        last.outcome = self.write(current.as_ref(), last.saved.as_ref()).map_err(Arc::new);
        if last.outcome.is_ok() {
            last.saved = current;
        }
        self.set_problem(last.outcome.clone().err());
    }

    fn set_problem(&self, problem: Option<Arc<io::Error>>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Writes the file, unless it has this content already.
    fn write(&self, current: Option<&Arc<Node>>, saved: Option<&Arc<Node>>) -> io::Result<()> {
        if current == saved {
            return Ok(());
        }
        let json = current.map(|node| node.json());
        let written = files::replace(&self.path, json.as_deref().unwrap_or(b"{}"), MODE);
        self.events.saved(written.is_ok());
        written
    }

    /// The error of the last attempt to save; `None` if it succeeded.
    pub(crate) fn problem(&self) -> Option<String> {
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        problem.as_ref().map(|error| format!("{}: {error}", self.path.display()))
    }

    /// A service that saves. The endpoint calls it before it answers a write.
    pub(crate) fn service(self: Arc<Self>) -> SaveGuestAttributes {
        SaveGuestAttributes::new(service_fn(move |()| {
            let store = Arc::clone(&self);
            async move { store.save().await.map_err(Into::into) }
        }))
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
