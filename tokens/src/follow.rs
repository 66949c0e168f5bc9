//! Notices that files have changed, however they are replaced.
//!
//! Editors write in place or rename over, Kubernetes swaps a link three folders up, people delete a folder and make it
//! anew. So the folders are watched, not the files. A poll, slow and cheap, catches what slips through, and is all there is
//! where the system can't watch. What touches the disk runs where it may block: a file system that hangs must not hang the
//! server.

mod folders;

use folders::{Events, Folders, Stamp, stamps};
use gce_metadata_support::blocking::{blocking, retrying};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// An editor's single save is several events.
const DEBOUNCE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// Follows files, and compares their stamps with those of the last look.
pub struct Follow {
    events: Arc<Events>,
    poll: Option<Interval>,
    look: Arc<Mutex<Look>>,
    stage: Stage,
    /// A change is reported even if the stamps are equal: two quick writes can have the same.
    must_read: bool,
}

/// The state of `changed`, which is cancel safe: the next call continues here.
enum Stage {
    First,
    Waiting,
    Debouncing,
    Looking(Pin<Box<dyn Future<Output = bool> + Send>>),
}

struct Look {
    files: Vec<PathBuf>,
    folders: Option<Folders>,
    seen: Vec<Stamp>,
}

impl Follow {
    /// Follows these files.
    pub fn new(files: Vec<PathBuf>) -> Self {
        let look = Look { files, folders: None, seen: Vec::new() };
        let look = Arc::new(Mutex::new(look));
        Self { events: Arc::default(), poll: None, look, stage: Stage::First, must_read: false }
    }

    /// Returns when a file may have changed since the last call; the first call returns at once, because changes before it were
    /// not watched. Cancel safe.
    pub async fn changed(&mut self) {
        loop {
            match &mut self.stage {
                Stage::First => {
                    self.must_read = true;
                    self.stage = self.looking();
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
                        _ = poll.tick() => self.looking(),
                    };
                }
                Stage::Debouncing => {
                    sleep(DEBOUNCE).await;
                    self.must_read |= self.events.of_file.swap(false, Ordering::Relaxed);
                    self.stage = self.looking();
                }
                Stage::Looking(looking) => {
                    let differs = looking.await;
                    self.stage = Stage::Waiting;
                    if std::mem::take(&mut self.must_read) || differs {
                        return;
                    }
                }
            }
        }
    }

    /// A look at the stamps. It goes on when the call is cancelled; the next call reports what it finds.
    fn looking(&self) -> Stage {
        let (look, events) = (Arc::clone(&self.look), Arc::clone(&self.events));
        let look = move || look.lock().unwrap_or_else(PoisonError::into_inner).again(&events);
        Stage::Looking(Box::pin(retrying(move || blocking(look.clone()))))
    }
}

impl Look {
    /// Whether a stamp has changed.
    fn again(&mut self, events: &Arc<Events>) -> bool {
        let files = &self.files;
        let folders = self.folders.get_or_insert_with(|| Folders::new(files.clone(), Arc::clone(events), POLL));
        // Before the files are read: a change after that raises another event.
        folders.watch();
        let now = stamps(files);
        let differs = now != self.seen;
        self.seen = now;
        differs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::fs;
    use tokio::time::timeout;

    /// A cancelled call's look may end after the caller has read the files, so its result must be reported by the next call.
    #[tokio::test]
    async fn a_change_found_after_a_cancelled_call_is_reported_by_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "old").unwrap();
        let mut follow = Follow::new(vec![file.clone()]);
        {
            let look = Arc::clone(&follow.look);
            let _held = look.lock().unwrap();
            assert!(follow.changed().now_or_never().is_none());
            fs::write(&file, "new").unwrap();
        }
        timeout(Duration::from_secs(30), follow.changed()).await.unwrap();
    }
}
