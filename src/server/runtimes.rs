//! Where connections are served: in the caller's runtime, or on threads of the server's own.
//!
//! Each of these threads has a runtime for itself, and a connection stays on its thread for life. A request is one read and
//! one write, so what is saved is the way between threads: nobody is woken elsewhere. Few connections lie on one thread: their
//! clients run on the same machine, and more threads would only take turns with them. Many are spread, because long polls that
//! all lie on one thread would all be answered by one.

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Handle};
use tokio_util::task::TaskTracker;

/// So many connections lie on one thread before another one gets some.
const FEW: usize = 1024;

#[derive(Debug, Clone)]
pub(super) struct Runtimes {
    handles: Arc<[Handle]>,
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
        Self { handles: handles.into(), tasks: tasks.clone() }
    }

    /// Runs it on the first one that has few, or else on the one that has fewest.
    pub(super) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let load = |handle: &&Handle| handle.metrics().num_alive_tasks();
        let has_few = self.handles.iter().find(|handle| load(handle) < FEW);
        if let Some(handle) = has_few.or_else(|| self.handles.iter().min_by_key(load)) {
            self.tasks.spawn_on(connection, handle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio_util::sync::CancellationToken;

    #[test]
    fn few_connections_lie_together_and_many_are_spread() {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let runtimes = Runtimes::on_threads(NonZeroUsize::new(3).unwrap(), &tasks).unwrap();
        let loads = |more: usize| {
            for _ in 0..more {
                let stop = stop.clone();
                runtimes.spawn(async move { stop.run_until_cancelled(pending()).await.unwrap_or_default() });
            }
            let loads: Vec<_> = runtimes.handles.iter().map(|handle| handle.metrics().num_alive_tasks()).collect();
            loads
        };
        assert_eq!(loads(FEW), [FEW, 0, 0]);
        assert_eq!(loads(FEW + 1), [FEW, FEW, 1]);
        assert_eq!(loads(FEW + 5), [FEW + 2, FEW + 2, FEW + 2]);
        tasks.close();
        stop.cancel();
    }
}
