//! Threads that are waited for, within reason, when their last user goes: what they hold has to be let go of, and the end of
//! the process would not do it.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// As long as anyone waits for a thread to end.
const PARTING: Duration = Duration::from_secs(2);

/// A thread, as far as its users are concerned. Whatever tells it to end must be dropped first.
pub(crate) struct Thread {
    over: Mutex<Receiver<()>>,
}

impl Thread {
    pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (running, over) = channel();
        let run = move || {
            work();
            drop(running);
        };
        Builder::new().name(name.to_owned()).spawn(run)?;
        Ok(Self { over: Mutex::new(over) })
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let over = self.over.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the thread's end is the news.
        let _ = over.recv_timeout(PARTING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn its_end_is_waited_for() {
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
