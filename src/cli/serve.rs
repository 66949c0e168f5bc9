//! `serve`, the default command: a server that reloads on SIGHUP and drains on SIGTERM or SIGINT.

use super::announce::{Announce, announce};
use super::block_on::block_on;
use super::go;
use super::logging;
use super::options::{MISC, ServeOptions};
use super::signals::Stop;
use super::start::start;
use anyhow::Context;
use clap::Args;
use gce_metadata_server::Environment;
use tokio::signal::unix::{SignalKind, signal};

/// The options of a server, and of the process that serves.
#[derive(Debug, Args)]
#[command(mut_args = go::bool_flag)]
pub(crate) struct Serve {
    #[command(flatten)]
    pub(super) options: ServeOptions,

    /// Stop when the parent process ends, or when standard input ends and is a pipe or a socket: for programs that start the
    /// server and may be killed. Standard input is read and discarded
    #[arg(long, help_heading = MISC)]
    exit_with_parent: bool,

    /// Format of the start message on standard output: export lines for a shell, or one line of JSON with the members admin,
    /// host, metrics, pid and tls
    #[arg(long, value_enum, default_value_t = Announce::Shell, value_name = "FORMAT", help_heading = MISC)]
    announce: Announce,
}

impl Serve {
    /// Serves until a signal ends the server.
    pub(super) fn run(self, environment: Environment) -> anyhow::Result<()> {
        logging::start(&self.options.logging, environment.log_filter.as_deref())?;
        // Runs everything but connections, which have their own threads.
        block_on(serve(self, environment))?
    }
}

async fn serve(serve: Serve, environment: Environment) -> anyhow::Result<()> {
    let Serve { options, exit_with_parent, announce: format } = serve;
    // Handle signals before anything is bound, so that one cannot kill a half-started server.
    let mut stop = Stop::listen()?;
    if exit_with_parent {
        stop = stop.follow_parent().context("--exit-with-parent")?;
    }
    let mut hang_up = signal(SignalKind::hangup())?;
    // Installs a handler, so that the signal does not kill the server: scripts that rotate logs send it.
    let _ignored = signal(SignalKind::user_defined1())?;
    let source = options.config(&environment).to_string();
    let Some(server) = start(options, environment, &mut stop).await? else { return Ok(()) };
    announce(format, &source, &server);
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = server.shutdown_requested() => break,
            _ = hang_up.recv() => {
                // In a task, since a blocked disk must not delay a stop. The outcome is logged and counted by the reload.
                let reload = server.reload();
                tokio::spawn(async move { reload.await.map(drop) });
            }
        }
    }
    stop.drain(server).await;
    Ok(())
}
