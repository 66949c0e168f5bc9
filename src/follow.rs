//! Notices that files have changed, in whatever way that happens.
//!
//! Editors write in place or rename over, Kubernetes swaps a link three folders up, people delete a folder and make it
//! anew. So the folders are watched, not the files. A poll, slow and cheap, catches what slips through, and is all there is
//! where the system can't watch. What touches the disk runs where it may block: a file system that hangs must not hang the
//! server.

mod folders;

use folders::{Events, Folders, Stamp, stamps};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

/// An editor's single save is several events.
const DEBOUNCE: Duration = Duration::from_millis(50);
const POLL: Duration = Duration::from_secs(5);

/// Some files, and what they looked like last.
pub(crate) struct Follow {
    events: Arc<Events>,
    poll: Option<Interval>,
    look: Arc<Mutex<Look>>,
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
        Self { events: Arc::default(), poll: None, look: Arc::new(Mutex::new(look)) }
    }

    /// Comes back when a file may have changed since this was called last, and at once when it is called first: before
    /// that nobody watched, and two quick writes can look alike. Whoever cancels it reads the files anyway.
    pub(crate) async fn changed(&mut self) {
        let is_first = self.poll.is_none();
        let poll = self.poll.get_or_insert_with(|| {
            let mut poll = interval(POLL);
            poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
            poll.reset();
            poll
        });
        loop {
            let must_read = is_first
                || tokio::select! {
                    () = self.events.arrived.notified() => {
                        sleep(DEBOUNCE).await;
                        self.events.of_file.swap(false, Ordering::Relaxed)
                    }
                    _ = poll.tick() => false,
                };
            let (look, events) = (Arc::clone(&self.look), Arc::clone(&self.events));
            let looked = spawn_blocking(move || look.lock().unwrap_or_else(PoisonError::into_inner).again(&events));
            if looked.await.unwrap_or(true) || must_read {
                return;
            }
        }
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
