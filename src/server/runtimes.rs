//! Where connections are served: in the caller's runtime, or on threads of the server's own.
//!
//! Each of these threads has a runtime for itself, and a connection stays on its thread for life. A request is one read and
//! one write, so what is saved is the way between threads: nobody is woken elsewhere. They get connections in turn, because
//! long polls that all lie on one thread would all be answered by one.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::task::TaskTracker;

/// Clones take turns together.
#[derive(Debug, Clone)]
pub(super) struct Runtimes {
    handles: Arc<[Handle]>,
    turn: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl Runtimes {
    /// The caller's own.
    pub(super) fn current(tasks: &TaskTracker) -> Self {
        Self::new(vec![Handle::current()], tasks)
    }

    /// One on each of so many new threads, which end with the last of these tasks once the tracker is closed.
    pub(super) fn on_threads(count: NonZeroUsize, tasks: &TaskTracker) -> io::Result<Self> {
        let start = |number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, tasks) = (runtime.handle().clone(), tasks.clone());
            let run = move || runtime.block_on(tasks.wait());
            thread::Builder::new().name(format!("http-{number}")).spawn(run)?;
            Ok(handle)
        };
        let handles: io::Result<Vec<_>> = (0..count.get()).map(start).collect();
        Ok(Self::new(handles?, tasks))
    }

    fn new(handles: Vec<Handle>, tasks: &TaskTracker) -> Self {
        Self { handles: handles.into(), turn: Arc::default(), tasks: tasks.clone() }
    }

    /// Runs it on the one whose turn it is.
    pub(super) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.handles.len();
        if let Some(handle) = self.handles.get(turn) {
            self.tasks.spawn_on(connection, handle);
        }
    }
}
