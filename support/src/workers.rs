//! A few threads for short computations, such as signatures, which would delay the other tasks of a runtime's thread.

use crate::blocking::no_thread;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a thread without work is kept.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// Threads that start when there is work and end after a while without. Clones share them.
#[derive(Clone)]
pub struct Workers(Arc<Owner>);

/// Ends the threads when the last clone is dropped.
struct Owner(Arc<Queue>);

struct Queue {
    max_threads: NonZeroUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

impl Workers {
    /// Workers on at most this many threads at a time.
    pub fn at_most(max_threads: NonZeroUsize) -> Self {
        Self(Arc::new(Owner(Arc::new(Queue { max_threads, state: Mutex::default(), changed: Condvar::new() }))))
    }

    /// Runs `work` on one of the threads. It is skipped if this future is dropped before a thread gets to it.
    ///
    /// # Errors
    /// If there is no thread and none can be started, or if the work panics.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let (sender, done) = oneshot::channel();
        let job = move || {
            if !sender.is_closed() {
                let _ = sender.send(work());
            }
        };
        self.0.0.push(Box::new(job))?;
        done.await.map_err(|_| io::Error::other("the work has panicked"))
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workers").field("max_threads", &self.0.0.max_threads).finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, job: Job) -> io::Result<()> {
        let mut state = self.state();
        state.jobs.push_back(job);
        if state.jobs.len() <= state.idle {
            self.changed.notify_one();
            return Ok(());
        }
        if state.threads == self.max_threads.get() {
            return Ok(());
        }
        // Under the lock, so that a failure removes this job and no other.
        let queue = Arc::clone(self);
        match std::thread::Builder::new().name("worker".to_owned()).spawn(move || queue.work()) {
            Ok(_) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                state.jobs.pop_back();
                return Err(io::Error::new(error.kind(), no_thread(&error)));
            }
            // Another thread does the job.
            Err(_) => {}
        }
        Ok(())
    }

    /// The loop of a thread.
    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // The panic is reported, and the caller gets an error; the thread goes on with the next job.
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.state();
                continue;
            }
            if state.is_closed {
                break;
            }
            state.idle += 1;
            let waited = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = waited.0;
            state.idle -= 1;
            if waited.1.timed_out() && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, mpsc};
    use std::thread::{self, ThreadId};

    fn workers(max_threads: usize) -> Workers {
        Workers::at_most(NonZeroUsize::new(max_threads).unwrap())
    }

    #[tokio::test]
    async fn work_runs_on_other_threads_which_are_used_again() {
        let workers = workers(1);
        let id = || thread::current().id();
        let ids: [ThreadId; 2] = [workers.run(id).await.unwrap(), workers.run(id).await.unwrap()];
        assert_eq!(ids[0], ids[1]);
        assert_ne!(ids[0], id());
    }

    #[tokio::test]
    async fn work_runs_on_as_many_threads_as_allowed() {
        let (workers, barrier) = (workers(2), Arc::new(Barrier::new(2)));
        let meet = || {
            let barrier = Arc::clone(&barrier);
            workers.run(move || barrier.wait().is_leader())
        };
        // Each job waits for the other one.
        let (one, other) = tokio::join!(meet(), meet());
        assert_ne!(one.unwrap(), other.unwrap());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let workers = workers(1);
        assert!(workers.run(|| panic!("made-up")).await.is_err());
        assert_eq!(workers.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn threads_end_with_the_last_clone() {
        let workers = workers(1);
        let (alive, ended) = mpsc::channel::<()>();
        // Dropped when the thread ends.
        thread_local!(static ALIVE: std::cell::RefCell<Option<mpsc::Sender<()>>> = const { std::cell::RefCell::new(None) });
        workers.run(move || ALIVE.set(Some(alive))).await.unwrap();
        drop(workers);
        assert_eq!(ended.recv(), Err(mpsc::RecvError));
    }
}
