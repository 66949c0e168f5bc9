//! The program: options in, a server up, signals obeyed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod args;
mod commands;
mod logging;

use anyhow::Context;
use args::Args;
use clap::Parser;
use gce_metadata_server::{Environment, Server};
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// File descriptors that are not connections to the metadata: sockets, the config's watch, standard streams, and those who
/// watch the server.
const SPARE_FILES: u64 = 128;

/// A terminal and a supervisor may both pass one signal on. What comes later is somebody who will not wait.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// A start that is asked to end, and is over in this time, ends as a server does. Any other waits for something that may
/// never come.
const NEARLY_STARTED: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let args = match Args::try_parse_from(args::normalized(std::env::args_os())) {
        Ok(args) => args,
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&args::one_line(&error)),
    };
    match run(args) {
        Ok(status) => status,
        Err(error) => failed(&format!("{error:#}")),
    }
}

fn failed(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}

fn run(args: Args) -> anyhow::Result<ExitCode> {
    let environment = Environment::read()?;
    if let Some(command) = &args.command {
        return command.run(&environment);
    }
    logging::start(&args.logging, environment.log_filter.as_deref())?;
    // For all but connections, which have threads of their own.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("can't start the runtime")?;
    let served = runtime.block_on(serve(args, environment));
    // Nothing is left to be done; a file system or a TPM that hangs must not hang the exit.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn serve(args: Args, environment: Environment) -> anyhow::Result<()> {
    // Before anything is bound: a signal that comes early must not kill a half-started server.
    let mut stop = Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let mut hang_up = signal(SignalKind::hangup())?;

    // On a thread that may wait: whatever a start reads, a disk or a TPM that hangs must not keep it from being ended.
    let (runtime, (started, mut starting)) = (Handle::current(), oneshot::channel());
    std::thread::Builder::new()
        .name("start".to_owned())
        .spawn(move || _ = started.send(runtime.block_on(start(&args, &environment))))
        .context(
            "can't start a thread; raise the limit on processes and threads of this user (ulimit -u) or container",
        )?;
    let (started, mut is_wanted) = tokio::select! {
        started = &mut starting => (started, true),
        () = stop.asked() => match timeout(NEARLY_STARTED, starting).await {
            Ok(started) => (started, false),
            Err(_) => {
                tracing::info!("stopped before it had started");
                return Ok(());
            }
        },
    };
    let server = started.context("the start has panicked")??;
    while is_wanted {
        tokio::select! {
            () = stop.asked() => is_wanted = false,
            _ = hang_up.recv() => server.reload(),
        }
    }
    tracing::info!("stopping");
    let stopping = Instant::now();
    let drain = server.shutdown();
    tokio::pin!(drain);
    loop {
        tokio::select! {
            drained = &mut drain => {
                if !drained {
                    tracing::warn!("some connections did not finish in time and were closed");
                }
                return Ok(());
            }
            () = stop.asked() => {}
        }
        if stopping.elapsed() > SAME_SIGNAL {
            tracing::warn!("asked again: stopped without waiting");
            return Ok(());
        }
    }
}

async fn start(args: &Args, environment: &Environment) -> anyhow::Result<Server> {
    let most_connections = args.most_connections(open_files());
    let server = args.server(environment)?.most_connections(most_connections).start().await?;
    announce(args, &server);
    Ok(server)
}

/// The signals that ask for an end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Raises the limit on open files as far as it goes. Each connection is one.
fn open_files() -> Option<usize> {
    let limit = rlimit::increase_nofile_limit(u64::MAX);
    let limit = limit.inspect_err(|error| tracing::warn!("the limit on open files stays as it is: {error}")).ok()?;
    usize::try_from(limit.saturating_sub(SPARE_FILES)).ok()
}

/// On standard output, ready to be pasted into a shell.
fn announce(args: &Args, server: &Server) {
    let mut out = std::io::stdout();
    let source = args.served();
    let at = server.url().unwrap_or_else(|| server.address().to_string());
    let mut lines = format!("# Serving {source} at {at}\n");
    let exports = server.env().into_iter().filter(|(name, _)| *name != "GCE_METADATA_ROOT");
    for (name, value) in exports {
        lines.push_str(&format!("export {name}={value}\n"));
    }
    if let Some(address) = server.tls_address().filter(|address| *address != server.address()) {
        lines.push_str(&format!("# HTTPS, with client certificates, at https://{address}\n"));
    }
    if let Some(address) = server.metrics_address() {
        lines.push_str(&format!("# Metrics and health at http://{address}\n"));
    }
    // Nobody may be reading, which is no reason not to serve.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %server.address(), "listening");
}
