//! The threads of a server: one that runs it, and others that serve connections.
//!
//! Each has a single-threaded runtime. The thread that runs the server accepts connections, follows files and renews tokens;
//! without threads for connections it serves them too.

mod placement;

use super::Server;
use super::builder::ServerBuilder;
use super::start_error::StartError;
use placement::Placement;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll};
use std::thread::{self, available_parallelism};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Starts a server on a new thread, which ends with the server's last task.
pub(super) fn on_own_thread(settings: ServerBuilder) -> Starting {
    let (sender, started) = oneshot::channel();
    let run = move || {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = sender.send(Err(StartError::Threads(error)));
                return;
            }
        };
        runtime.block_on(async {
            let tasks = match settings.start_here().await {
                Ok(server) => {
                    let tasks = [&server.running.lifecycle, &server.running.monitoring].map(|it| it.tasks.clone());
                    // If the caller was cancelled, the server is dropped here, which stops it.
                    let _ = sender.send(Ok(server));
                    tasks
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                    return;
                }
            };
            for tasks in tasks {
                tasks.wait().await;
            }
        });
        // Does not wait for blocking work: a disk or a TPM may never answer.
        runtime.shutdown_background();
    };
    let spawned = thread::Builder::new().name("gce-metadata".to_owned()).spawn(run);
    Starting { started: spawned.map(|_| started).map_err(StartError::Threads) }
}

/// The future of a server's start.
pub(super) struct Starting {
    started: Result<oneshot::Receiver<Result<Server, StartError>>, StartError>,
}

impl Starting {
    /// Blocks until the server has started or failed to.
    pub(super) fn blocking_wait(self) -> Result<Server, StartError> {
        self.started?.blocking_recv().unwrap_or_else(|_| Err(panicked()))
    }
}

impl Future for Starting {
    type Output = Result<Server, StartError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.started {
            Ok(started) => Pin::new(started).poll(cx).map(|started| started.unwrap_or_else(|_| Err(panicked()))),
            Err(error) => Poll::Ready(Err(std::mem::replace(error, panicked()))),
        }
    }
}

fn panicked() -> StartError {
    StartError::Threads(io::Error::other("the server's thread has panicked"))
}

/// The runtimes that serve connections.
#[derive(Debug, Clone)]
pub(super) struct ConnectionThreads {
    handles: Arc<[Handle]>,
    placement: Placement,
    tasks: TaskTracker,
}

impl ConnectionThreads {
    /// The best number of threads for this machine.
    pub(super) fn default_number() -> NonZeroUsize {
        placement::threads_for(processors())
    }

    /// Serves connections in the current runtime.
    pub(super) fn current(tasks: &TaskTracker) -> Self {
        Self::new(vec![Handle::current()], tasks)
    }

    /// Starts `count` threads, which end after the last of `tasks` when the tracker is closed.
    pub(super) fn start(count: NonZeroUsize, tasks: &TaskTracker) -> io::Result<Self> {
        let start = |number| {
            // The runtime is created on its thread: if the thread could not be started, dropping the runtime here would panic.
            let ((sender, made), tasks) = (channel(), tasks.clone());
            let run = move || match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let _ = sender.send(Ok(runtime.handle().clone()));
                    runtime.block_on(tasks.wait());
                    runtime.shutdown_background();
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
        Self { handles: handles.into(), placement: Placement::for_processors(processors()), tasks: tasks.clone() }
    }

    /// The same threads, for connections with TLS.
    pub(super) fn for_tls(&self) -> Self {
        Self { placement: Placement::Spread, ..self.clone() }
    }

    /// Serves a connection on the thread that the [`Placement`] chooses.
    pub(super) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let connections: Vec<_> = self.handles.iter().map(|handle| handle.metrics().num_alive_tasks()).collect();
        let handle = &self.handles[self.placement.thread_for_next(&connections)];
        self.tasks.spawn_on(connection, handle);
    }
}

/// The processors that this process may use.
fn processors() -> NonZeroUsize {
    available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn connections_run_on_the_threads_that_placement_chooses() {
        let tasks = TaskTracker::new();
        let threads = ConnectionThreads::start(NonZeroUsize::new(3).unwrap(), &tasks).unwrap().for_tls();
        let ((begun, begins), stop) = (channel(), tokio_util::sync::CancellationToken::new());
        for _ in 0..6 {
            let (begun, stop) = (begun.clone(), stop.clone());
            threads.spawn(async move {
                begun.send(thread::current().name().map(str::to_owned)).unwrap();
                stop.cancelled().await;
            });
        }
        let names: Vec<_> = begins.iter().take(6).flatten().collect();
        tasks.close();
        stop.cancel();
        Builder::new_current_thread().build().unwrap().block_on(tasks.wait());
        assert_eq!(["http-0", "http-1", "http-2"].map(|name| names.iter().filter(|it| *it == name).count()), [2; 3]);
    }
}
