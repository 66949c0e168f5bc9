//! Keeps what guests have written over a restart, in a file that is replaced whenever they have written something.
//!
//! It is written in the background, on a thread that may block, and is all of one state: whoever reads it, and a server that
//! starts after a crash, finds no half of anything.

use crate::blocking::blocking;
use crate::config::json::{self, Mistake};
use crate::files;
use crate::metrics::Metrics;
use gce_metadata_routes::{GuestAttributes, Node, Reader, Tree};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// A guest may write secrets.
const MODE: u32 = 0o600;

/// How long a file that could not be written is left alone, unless there is more to write.
const RETRY: Duration = Duration::from_secs(10);

/// Why guest attributes can't be kept in a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestAttributesError {
    /// The file is there and can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is there and is something else.
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
    /// The file can't be written.
    #[error("{}: can't be written: {error}; choose a file in a folder that this user may write to", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// The tree with what the file has; as it is, while there is no file.
pub(crate) fn restored(path: &Path, tree: &Tree) -> Result<Tree, GuestAttributesError> {
    let stored = match files::read(path) {
        Ok(stored) => stored,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(tree.clone()),
        Err(error) => return Err(GuestAttributesError::Unreadable { path: path.to_owned(), error }),
    };
    let invalid =
        |line, column, problem| GuestAttributesError::Invalid { path: path.to_owned(), line, column, problem };
    let json = json::parse(&stored).map_err(|Mistake { line, column, place, problem }| {
        let problem = format!("{place}: {problem}");
        invalid(line, column, problem)
    })?;
    let attributes = GuestAttributes::from_json(json).map_err(|error| {
        let (line, column) = json::locate(&stored, error.path());
        invalid(line, column, error.to_string())
    })?;
    tree.with_guest_attributes(&attributes).map_err(|error| invalid(1, 1, format!(".: {error}")))
}

/// Writes the file, at once and whenever there is another state.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    /// Whether there was no file before.
    is_new: bool,
    reader: Reader,
    metrics: Option<Metrics>,
    /// What the file has. Locked for as long as a write takes, so that none goes over a newer one.
    saved: Mutex<Option<Arc<Node>>>,
}

impl Keeper {
    /// Writes the file a first time, which shows whether it can be.
    pub(crate) async fn start(
        path: PathBuf,
        reader: Reader,
        metrics: Option<Metrics>,
    ) -> Result<Arc<Self>, GuestAttributesError> {
        // What a link leads to is replaced, not the link.
        let path = path.canonicalize().unwrap_or(path);
        let is_new = path.symlink_metadata().is_err();
        let keeper = Arc::new(Self { path, is_new, reader, metrics, saved: Mutex::default() });
        let saved = keeper.save().await;
        saved.map_err(|error| GuestAttributesError::Unwritable { path: keeper.path.clone(), error })?;
        Ok(keeper)
    }

    /// Undoes the start: a server that fails for another reason leaves no file.
    pub(crate) fn remove_if_new(&self) {
        if self.is_new {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Follows what is published until the server stops.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.reader.changes();
        while !stop.is_cancelled() {
            let retry = if self.save_or_tell().await { None } else { Some(RETRY) };
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { break },
                () = after(retry) => {}
                () = stop.cancelled() => {}
            }
        }
        self.save_or_tell().await;
    }

    /// Saves the current state. Says whether it is saved, and tells the log why not.
    pub(crate) async fn save_or_tell(self: &Arc<Self>) -> bool {
        let saved = self.save().await;
        if let Err(error) = &saved {
            tracing::error!(path = %self.path.display(), "guest attributes not saved: {error}");
        }
        saved.is_ok()
    }

    /// Writes the current state, if the file has another one.
    async fn save(self: &Arc<Self>) -> io::Result<()> {
        let keeper = Arc::clone(self);
        blocking(move || keeper.write()).await?
    }

    fn write(&self) -> io::Result<()> {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.reader.snapshot().tree().get("instance/guest-attributes").cloned();
        if *saved == current {
            return Ok(());
        }
        let json = current.as_ref().map(|node| node.json());
        let written = files::replace(&self.path, json.as_deref().unwrap_or(b"{}"), MODE);
        if let Some(metrics) = &self.metrics {
            metrics.guest_attributes_saved(written.is_ok());
        }
        written.map(|()| *saved = current)
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::{Metadata, Publisher};

    const KEY: &str = "instance/guest-attributes/ns/key";

    fn restore(path: &Path) -> Result<Option<String>, String> {
        let restored = restored(path, &Metadata::sample().tree()).map_err(|error| error.to_string())?;
        Ok(restored.text(KEY))
    }

    #[tokio::test]
    async fn what_is_written_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attributes.json");
        let publisher = Publisher::new(Metadata::sample().tree());
        let keeper = Keeper::start(path.clone(), publisher.reader(), None).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        publisher.set(KEY, "value").unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        Arc::clone(&keeper).keep(stop).await;
        assert_eq!(restore(&path), Ok(Some("value".into())));
        assert_eq!(restore(&folder.path().join("none")), Ok(None));
    }

    #[tokio::test]
    async fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("attributes.json"), folder.path().join("link.json"));
        fs::write(&path, "{}").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let publisher = Publisher::new(Metadata::sample().tree());
        publisher.set(KEY, "value").unwrap();
        Keeper::start(link.clone(), publisher.reader(), None).await.unwrap();
        assert!(link.is_symlink());
        assert_eq!(restore(&path), Ok(Some("value".into())));
    }

    /// Time passes only while nothing else is to be done: here, between an attempt that has failed and the next one.
    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_written_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let away = folder.path().join("away");
        fs::create_dir(&away).unwrap();
        let path = away.join("attributes.json");
        let publisher = Publisher::new(Metadata::sample().tree());
        let keeper = Keeper::start(path.clone(), publisher.reader(), None).await.unwrap();
        fs::remove_dir_all(&away).unwrap();
        publisher.set(KEY, "value").unwrap();
        let stop = CancellationToken::new();
        let keeping = tokio::spawn(keeper.keep(stop.clone()));
        sleep(RETRY / 2).await;
        fs::create_dir(&away).unwrap();
        assert_eq!(restore(&path), Ok(None), "not before its time");
        sleep(RETRY).await;
        assert_eq!(restore(&path), Ok(Some("value".into())));
        stop.cancel();
        keeping.await.unwrap();
    }

    #[tokio::test]
    async fn a_broken_file_is_named_with_the_place_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attributes.json");
        for (content, problem) in [
            ("{\"ns\": {\n\"key\": 5}}", ":2:8: at ns.key: a string is expected, not a number; "),
            ("{\"ns\": \"hidden\"}", ":1:8: at ns: an object is expected, not a string; "),
            ("\"hidden\"", ":1:1: at .: an object is expected, not a string; "),
            ("{\"ns\": {\"key\"", ":1:13: at ns: EOF while parsing an object; "),
            ("{\"ns\": {\"key\": hidden}}", ":1:16: at ns.key: expected value; "),
            ("{\"ns\": {\"key\": \"hidden\\x\"}}", ":1:24: at ns.key: invalid escape; "),
            ("", ":1:0: at .: EOF while parsing a value; "),
        ] {
            fs::write(&path, content).unwrap();
            let error = restore(&path).unwrap_err();
            assert!(error.contains(problem) && error.contains("remove it to begin anew"), "{error}");
            assert!(!error.contains("hidden"), "{error}");
        }
        let publisher = Publisher::new(Metadata::sample().tree());
        let error = Keeper::start(folder.path().join("none/file"), publisher.reader(), None).await.unwrap_err();
        assert!(error.to_string().contains("none/file: can't be written: No such file"), "{error}");
    }
}
