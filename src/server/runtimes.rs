//! Where connections are served: in the caller's runtime, or on threads of the server's own.
//!
//! Each of these threads has a runtime for itself, and a connection stays where it was accepted. A request is one read and
//! one write, so what is saved is the way between threads: nobody is woken elsewhere. All of them accept from the same
//! socket, and whoever has time takes the next connection.

use super::listener::Listener;
use std::io;
use std::num::NonZeroUsize;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::task::TaskTracker;

pub(super) struct Runtimes {
    handles: Vec<Handle>,
    tasks: TaskTracker,
}

impl Runtimes {
    /// The caller's own.
    pub(super) fn current(tasks: &TaskTracker) -> Self {
        Self { handles: vec![Handle::current()], tasks: tasks.clone() }
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
        let handles: io::Result<_> = (0..count.get()).map(start).collect();
        Ok(Self { handles: handles?, tasks: tasks.clone() })
    }

    /// Serves what is accepted here, on all of them.
    pub(super) fn serve<F>(&self, listener: Listener, serve: impl Fn(Listener) -> F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = listener.shared(self.handles.len())?;
        for (handle, listener) in self.handles.iter().zip(shared) {
            // It belongs to the runtime in which it is opened.
            let _entered = handle.enter();
            self.tasks.spawn_on(serve(listener.open()?), handle);
        }
        Ok(())
    }
}
