//! Starts a server by the options of the command line, for each command that needs a running one.

use super::options::ServeOptions;
use super::signals::Stop;
use anyhow::Context;
use gce_metadata_server::{Environment, Server};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// File descriptors that are not connections to the metadata: sockets, the watch of the config, standard streams, and connections
/// to the metrics.
const SPARE_FILES: u64 = 128;

/// How long a start may go on after a signal. One that is done by then is drained like any server; a longer one may be blocked
/// for ever.
const START_GRACE: Duration = Duration::from_secs(1);

/// Starts a server in the current runtime; `None` if a signal ended the program meanwhile.
pub(super) async fn start(
    options: ServeOptions,
    environment: Environment,
    stop: &mut Stop,
) -> anyhow::Result<Option<Server>> {
    // On a thread of its own, because a start may block on a disk or a TPM, and signals must work nevertheless.
    let (runtime, (started, mut starting)) = (Handle::current(), oneshot::channel());
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || _ = started.send(runtime.block_on(build(&options, &environment))))
        .context(
            "can't start a thread; raise the limit on processes and threads of this user (ulimit -u) or container",
        )?;
    tokio::select! {
        started = &mut starting => started.context("the start has panicked")?.map(Some),
        () = stop.requested() => match timeout(START_GRACE, starting).await {
            Ok(started) => {
                stop.drain(started.context("the start has panicked")??).await;
                Ok(None)
            }
            Err(_) => {
                tracing::info!("stopped before it had started");
                Ok(None)
            }
        },
    }
}

async fn build(options: &ServeOptions, environment: &Environment) -> anyhow::Result<Server> {
    let max_connections = options.max_connections(raise_open_files_limit());
    Ok(options.server(environment)?.max_connections(max_connections).start().await?)
}

/// Raises the limit on open files to its maximum, for each connection is one, and returns how many connections that allows.
fn raise_open_files_limit() -> Option<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX);
    let limit = limit.inspect_err(|error| tracing::warn!("the limit on open files stays as it is: {error}")).ok()?;
    usize::try_from(limit.saturating_sub(SPARE_FILES)).ok()
}
