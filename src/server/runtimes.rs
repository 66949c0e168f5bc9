//! Where connections are served: in the caller's runtime, or on threads of the server's own.
//!
//! Each of these threads has a runtime for itself, and a connection stays on its thread for life. A request is one read and
//! one write, so what is saved is the way between threads: nobody is woken elsewhere. Few connections lie on one thread: their
//! clients run on the same machine, and more threads would only take turns with them. Many are spread, because long polls that
//! all lie on one thread would all be answered by one; and so are those with TLS, whose handshakes take long. The price is that
//! a signature, which takes a quarter of a millisecond, holds up all of the few.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::task::TaskTracker;

/// So many connections lie on the first thread before the others get some.
const FEW: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Runtimes {
    handles: Arc<[Handle]>,
    few: usize,
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
            // The thread makes its runtime itself: one that could not be moved there would be dropped here, where tokio panics.
            let ((sender, made), tasks) = (channel(), tasks.clone());
            let run = move || match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = sender.send(Ok(runtime.handle().clone()));
                    runtime.block_on(tasks.wait());
                }
                Err(error) => _ = sender.send(Err(error)),
            };
            thread::Builder::new().name(format!("http-{number}")).spawn(run)?;
            made.recv().map_err(io::Error::other)?
        };
        let handles: io::Result<Vec<_>> = (0..count.get()).map(start).collect();
        Ok(Self::new(handles?, tasks))
    }

    fn new(handles: Vec<Handle>, tasks: &TaskTracker) -> Self {
        Self { handles: handles.into(), few: FEW, tasks: tasks.clone() }
    }

    /// The same, for connections that are more work: few are spread too.
    pub(super) fn spread(&self) -> Self {
        Self { few: 0, ..self.clone() }
    }

    /// Runs it on the first one as long as that has few, or else on the one that has fewest.
    pub(super) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let load = |handle: &&Handle| handle.metrics().num_alive_tasks();
        let first = self.handles.first().filter(|handle| load(handle) < self.few);
        if let Some(handle) = first.or_else(|| self.handles.iter().min_by_key(load)) {
            self.tasks.spawn_on(connection, handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many connections each thread runs.
    fn loads(connections: usize, spread: bool) -> [usize; 3] {
        let tasks = TaskTracker::new();
        let runtimes = Runtimes::on_threads(NonZeroUsize::new(3).unwrap(), &tasks).unwrap();
        let runtimes = if spread { runtimes.spread() } else { runtimes };
        let ((begun, begins), stop) = (channel(), tokio_util::sync::CancellationToken::new());
        for _ in 0..connections {
            let (begun, stop) = (begun.clone(), stop.clone());
            runtimes.spawn(async move {
                begun.send(thread::current().name().map(str::to_owned)).unwrap();
                stop.cancelled().await;
            });
        }
        let names: Vec<_> = begins.iter().take(connections).flatten().collect();
        tasks.close();
        stop.cancel();
        let waiting = Builder::new_current_thread().build().unwrap();
        waiting.block_on(tasks.wait());
        ["http-0", "http-1", "http-2"].map(|name| names.iter().filter(|it| *it == name).count())
    }

    #[test]
    fn few_connections_lie_together_and_many_are_spread() {
        assert_eq!(loads(FEW, false), [FEW, 0, 0]);
        assert_eq!(loads(FEW + 2, false), [FEW, 1, 1]);
        assert_eq!(loads(3 * FEW + 6, false), [FEW + 2; 3]);
    }

    #[test]
    fn those_that_are_more_work_are_spread_at_once() {
        assert_eq!(loads(6, true), [2; 3]);
    }
}
