//! Notices that files have changed, in whatever way that happens.
//!
//! Editors write in place or rename over, Kubernetes swaps a link three folders up, people delete a folder and make it
//! anew. So the folders are watched, not the files. A poll, slow and cheap, catches what slips through, and is all there is
//! where the system can't watch. What touches the disk runs where it may block: a file system that hangs must not hang the
//! server.

mod folders;

use crate::blocking::retrying;
use folders::{Events, Folders, Stamp, stamps};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// An editor's single save is several events.
const DEBOUNCE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// Some files, and what they looked like last.
pub(crate) struct Follow {
    events: Arc<Events>,
    poll: Option<Interval>,
    look: Arc<Mutex<Look>>,
    stage: Stage,
    /// They are to be read whatever they look like: two quick writes can look alike.
    must_read: bool,
}

/// How far a call has come. Another one goes on from there if it was cancelled, for no look and no event comes twice.
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
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let look = Look { files, folders: None, seen: Vec::new() };
        let look = Arc::new(Mutex::new(look));
        Self { events: Arc::default(), poll: None, look, stage: Stage::First, must_read: false }
    }

    /// Comes back when a file may have changed since this was called last, and at once when it is called first: before
    /// that nobody watched.
    pub(crate) async fn changed(&mut self) {
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

    /// A look, which goes on though nobody waits for it any more: what it sees must be read after that.
    fn looking(&self) -> Stage {
        let (look, events) = (Arc::clone(&self.look), Arc::clone(&self.events));
        let look = move || look.lock().unwrap_or_else(PoisonError::into_inner).again(&events);
        Stage::Looking(Box::pin(retrying(look)))
    }
}

impl Look {
    /// Whether a file looks different.
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

    /// Whoever cancels a call reads the files then, but the look may come after that, and must not keep what it sees.
    #[tokio::test]
    async fn what_a_look_sees_that_nobody_waited_for_is_told_the_next_time() {
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
