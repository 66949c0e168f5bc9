//! Starts a server with the options of the command line, for every command that needs one.

use super::options::ServeOptions;
use super::signals::Stop;
use anyhow::Context;
use gce_metadata_server::{Environment, Server, ServerBuilder};
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

/// Starts a server in the current runtime, with as many connections as the hard limit on open files allows. `None` if a signal came
/// before the server had started.
pub(super) async fn start(
    options: ServeOptions,
    environment: Environment,
    stop: &mut Stop,
) -> anyhow::Result<Option<Server>> {
    start_with(options, environment, stop, OpenFiles::Raised, |builder| builder).await
}

/// Starts a server as [`start`] does, with this limit on connections, and after this change to the builder.
pub(super) async fn start_with(
    options: ServeOptions,
    environment: Environment,
    stop: &mut Stop,
    open_files: OpenFiles,
    change: impl FnOnce(ServerBuilder) -> ServerBuilder + Send + 'static,
) -> anyhow::Result<Option<Server>> {
    // On a separate thread: a start may block on a disk or a TPM, and signals must still be handled.
    let (runtime, (started, mut starting)) = (Handle::current(), oneshot::channel());
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || {
            let build = async {
                let builder = options.server(&environment)?.max_connections(open_files.max_connections(&options));
                anyhow::Ok(change(builder).start().await?)
            };
            _ = started.send(runtime.block_on(build));
        })
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

/// How a start treats the limit on open files: each connection needs a file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenFiles {
    /// Raises the limit to the hard limit, and warns if that does not allow all connections.
    Raised,
    /// Keeps the limit, because a child process inherits it.
    Kept,
}

impl OpenFiles {
    /// The limit on connections: that of the options, lowered to the number that the limit on open files allows.
    fn max_connections(self, options: &ServeOptions) -> usize {
        let limit = match self {
            Self::Raised => rlimit::increase_nofile_limit(u64::MAX)
                .inspect_err(|error| tracing::warn!("can't raise the limit on open files: {error}")),
            Self::Kept => rlimit::getrlimit(rlimit::Resource::NOFILE).map(|(soft, _)| soft),
        };
        let open_files = limit.ok().and_then(|limit| usize::try_from(limit.saturating_sub(RESERVED_FILES)).ok());
        let (wanted, allowed) = (options.max_connections(None), options.max_connections(open_files));
        if self == Self::Raised && allowed < wanted {
            tracing::warn!(open_files, "--max-connections is lowered to the limit on open files (ulimit -n)");
        }
        allowed
    }
}
