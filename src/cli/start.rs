//! Starts a server with the options of the command line, for every command that needs one.

use super::options::ServeOptions;
use super::signals::Stop;
use anyhow::Context;
use gce_metadata_server::{Environment, Server};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// File descriptors reserved for other uses than connections: listeners, the file watcher, standard streams, and connections to
/// the metrics listener.
const RESERVED_FILES: u64 = 128;

/// How long a start may continue after a signal. If it succeeds in this time, the server is drained; otherwise it may be blocked
/// forever, and is abandoned.
const START_GRACE: Duration = Duration::from_secs(1);

/// Starts a server in the current runtime. `None` if a signal came before the server had started.
pub(super) async fn start(
    options: ServeOptions,
    environment: Environment,
    stop: &mut Stop,
) -> anyhow::Result<Option<Server>> {
    // On a separate thread: a start may block on a disk or a TPM, and signals must still be handled.
    let (runtime, (started, mut starting)) = (Handle::current(), oneshot::channel());
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || _ = started.send(runtime.block_on(build(&options, &environment))))
        .context(
            "can't start a thread; raise the limit on processes and threads of this user (ulimit -u) or container",
        )?;
    tokio::select! {
        started = &mut starting => started.context("the start panicked")?.map(Some),
        () = stop.requested() => match timeout(START_GRACE, starting).await {
            Ok(started) => {
                stop.drain(started.context("the start panicked")??).await;
                Ok(None)
            }
            Err(_) => {
                tracing::info!("stopped during the start");
                Ok(None)
            }
        },
    }
}

async fn build(options: &ServeOptions, environment: &Environment) -> anyhow::Result<Server> {
    let max_connections = options.max_connections(raise_open_files_limit());
    Ok(options.server(environment)?.max_connections(max_connections).start().await?)
}

/// Raises the limit on open files to its hard limit, and returns how many connections it allows: each needs a file descriptor.
fn raise_open_files_limit() -> Option<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX);
    let limit = limit.inspect_err(|error| tracing::warn!("can't raise the limit on open files: {error}")).ok()?;
    usize::try_from(limit.saturating_sub(RESERVED_FILES)).ok()
}
