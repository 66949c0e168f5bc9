//! `serve`, the default command: a server that reloads on SIGHUP and drains on SIGTERM or SIGINT.

use super::announce::announce;
use super::logging;
use super::options::ServeOptions;
use super::signals::Stop;
use super::start::start;
use anyhow::Context;
use gce_metadata_server::Environment;
use tokio::signal::unix::{SignalKind, signal};

/// Serves until a signal ends the server.
pub(super) fn run(options: ServeOptions, environment: Environment) -> anyhow::Result<()> {
    logging::start(&options.logging, environment.log_filter.as_deref())?;
    // Runs everything but connections, which have their own threads.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    let served = runtime.block_on(serve(options, environment));
    // Does not wait for threads that a file system or TPM blocks.
    runtime.shutdown_background();
    served
}

async fn serve(options: ServeOptions, environment: Environment) -> anyhow::Result<()> {
    // Handle signals before anything is bound, so that one cannot kill a half-started server.
    let mut stop = Stop::listen()?;
    let mut hang_up = signal(SignalKind::hangup())?;
    // Installs a handler, so that the signal does not kill the server: scripts that rotate logs send it.
    let _ignored = signal(SignalKind::user_defined1())?;
    let source = options.config_name();
    let Some(server) = start(options, environment, &mut stop).await? else { return Ok(()) };
    announce(&source, &server);
    loop {
        tokio::select! {
            () = stop.requested() => break,
            _ = hang_up.recv() => {
                // In a task, since a blocked disk must not delay a stop. The outcome is logged and counted by the reload.
                let vm = server.vm().clone();
                tokio::spawn(async move { vm.reload().await.map(drop) });
            }
        }
    }
    stop.drain(server).await;
    Ok(())
}
