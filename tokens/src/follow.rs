//! Detects changes of files, by file system events and by polling.
//!
//! Editors write in place or rename over the file, Kubernetes swaps a symbolic link three folders up, users delete and
//! recreate a folder. So the folders are watched, not the files. A slow, cheap poll finds changes without an event, and
//! every change on systems without a watcher. Disk access runs on threads that may block: a hanging file system must
//! not block the server.

mod folders;

use folders::{Events, Folders, Stamp, stamps};
use gce_metadata_support::blocking::{blocking, retrying};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// The wait after an event: one save in an editor raises several events.
const DEBOUNCE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// Follows files: compares their stamps (inode, length, time, target) with those of the last check.
pub struct Follow {
    events: Arc<Events>,
    poll: Option<Interval>,
    check: Arc<Mutex<Check>>,
    stage: Stage,
    /// Reports a change even if the stamps are equal: two quick writes can have equal stamps.
    must_report: bool,
}

/// The state of `changed`, which is cancel safe: the next call continues here.
enum Stage {
    First,
    Waiting,
    Debouncing,
    Checking(Pin<Box<dyn Future<Output = bool> + Send>>),
}

/// The files, their watcher and their last stamps.
struct Check {
    files: Vec<PathBuf>,
    folders: Option<Folders>,
    stamps: Vec<Stamp>,
}

impl Follow {
    /// Follows these files.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let check = Check { files, folders: None, stamps: Vec::new() };
        let check = Arc::new(Mutex::new(check));
        Self { events: Arc::default(), poll: None, check, stage: Stage::First, must_report: false }
    }

    /// Waits until a file may have changed since the last call. The first call returns at once, because changes before
    /// it were not watched. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            match &mut self.stage {
                Stage::First => {
                    self.must_report = true;
                    self.stage = self.start_check();
                }
                Stage::Waiting => {
                    let poll = self.poll.get_or_insert_with(|| {
                        let mut poll = interval(POLL);
                        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
                        poll.reset();
                        poll
                    });
                    self.stage = tokio::select! {
                        () = self.events.arrived.notified() => Stage::Debouncing,
                        _ = poll.tick() => self.start_check(),
                    };
                }
                Stage::Debouncing => {
                    sleep(DEBOUNCE).await;
                    self.must_report |= self.events.of_file.swap(false, Ordering::Relaxed);
                    self.stage = self.start_check();
                }
                Stage::Checking(check) => {
                    let differs = check.await;
                    self.stage = Stage::Waiting;
                    if std::mem::take(&mut self.must_report) || differs {
                        return;
                    }
                }
            }
        }
    }

    /// Starts a check of the stamps. It continues when the call of `changed` is cancelled; the next call returns its
    /// result.
    fn start_check(&self) -> Stage {
        let (check, events) = (Arc::clone(&self.check), Arc::clone(&self.events));
        let run = move || check.lock().unwrap_or_else(PoisonError::into_inner).run(&events);
        Stage::Checking(Box::pin(retrying(move || blocking(run.clone()))))
    }
}

impl Check {
    /// Returns whether a stamp has changed.
    fn run(&mut self, events: &Arc<Events>) -> bool {
        let files = &self.files;
        let folders = self.folders.get_or_insert_with(|| Folders::new(files.clone(), Arc::clone(events), POLL));
        // Before the stamps are read, so that every later change raises an event.
        folders.watch();
        let now = stamps(files);
        let differs = now != self.stamps;
        self.stamps = now;
        differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::fs;
    use tokio::time::timeout;

    /// The check of a cancelled call may end after the caller has read the files, so the next call must report its
    /// result.
    #[tokio::test]
    async fn a_change_found_after_a_cancelled_call_is_reported_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "old").unwrap();
        let mut follow = Follow::new(vec![file.clone()]);
        {
            let check = Arc::clone(&follow.check);
            let _held = check.lock().unwrap();
            assert!(follow.changed().now_or_never().is_none());
            fs::write(&file, "new").unwrap();
        }
        timeout(Duration::from_secs(30), follow.changed()).await.unwrap();
    }
}
