//! Threads that are joined on drop, with a time-out. They hold resources, such as a TPM's memory, that the exit of the
//! process would not release.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// How long `drop` waits for the thread to end.
const JOIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A handle of a thread, which joins the thread when dropped. The owner must first drop the channel whose end stops the
/// thread.
pub struct Thread {
    ended: Mutex<Receiver<()>>,
}

impl Thread {
    /// Starts a thread.
    ///
    /// # Errors
    /// If the system can't start it.
    pub fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (running, ended) = channel();
        let run = move || {
            work();
            drop(running);
        };
        Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { ended: Mutex::new(ended) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the thread drops the sender when it ends.
        let _ = ended.recv_timeout(JOIN_TIMEOUT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn drop_waits_for_the_thread_to_end() {
        let (stop, stopped) = channel::<()>();
        let done = Arc::new(AtomicBool::new(false));
        let doing = Arc::clone(&done);
        let thread = Thread::start("test", move || {
            let _ = stopped.recv();
            std::thread::yield_now();
            doing.store(true, Ordering::SeqCst);
        });
        drop(stop);
        drop(thread.unwrap());
        assert!(done.load(Ordering::SeqCst));
    }
}
