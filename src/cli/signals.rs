//! The signals that stop the program, the end of its parent, which stops it too, and the drain that follows.

use super::parent::{self, ParentEnd};
use gce_metadata_server::Server;
use rustix::process::Signal as Number;
use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A second signal within this time counts as the first one: a terminal and a supervisor may both forward it.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The signals that this process ignores: SIGHUP below `nohup`, SIGINT in the background of a script. A program that replaces the
/// default must leave them ignored, and so must `exec`, whose command inherits them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Ignored(u64);

impl Ignored {
    /// Reads the state of this process, before handlers are installed. Only Linux shows it.
    pub(super) fn now() -> Self {
        Self::from_status(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn from_status(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
    }

    pub(super) fn has(self, signal: Number) -> bool {
        (self.0 >> (signal.as_raw() - 1)) & 1 == 1
    }
}

/// The listeners for SIGTERM, SIGINT and the end of the parent.
pub(super) struct Stop {
    /// `None` if the signal stays ignored, here and below.
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    /// `None` if the parent is not followed, or has ended.
    parent: Option<ParentEnd>,
}

impl Stop {
    /// Installs the signal handlers. From then on the signals no longer kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        Self::listen_except(Ignored::default())
    }

    /// Installs the handlers of those signals that are not ignored.
    pub(super) fn listen_except(ignored: Ignored) -> io::Result<Self> {
        let listen = |number: Number| {
            let kind = SignalKind::from_raw(number.as_raw());
            (!ignored.has(number)).then(|| signal(kind)).transpose()
        };
        Ok(Self { terminate: listen(Number::TERM)?, interrupt: listen(Number::INT)?, parent: None })
    }

    /// Counts the end of the parent as a signal.
    pub(super) fn follow_parent(self) -> io::Result<Self> {
        Ok(Self { parent: Some(parent::follow()?), ..self })
    }

    /// Waits for one of the signals.
    pub(super) async fn requested(&mut self) {
        tokio::select! {
            () = received(&mut self.terminate) => {}
            () = received(&mut self.interrupt) => {}
            () = ended(&mut self.parent) => {}
        }
    }

    /// Drains the server; a second signal ends the drain.
    pub(super) async fn drain(&mut self, server: Server) {
        tracing::info!("stopping: draining connections");
        let stopping = Instant::now();
        let drain = server.shutdown();
        tokio::pin!(drain);
        loop {
            tokio::select! {
                drained = &mut drain => {
                    if !drained {
                        tracing::warn!("drain timeout: open connections were closed");
                    }
                    return;
                }
                () = self.requested() => {}
            }
            if stopping.elapsed() > SAME_SIGNAL {
                tracing::warn!("second signal: exiting without draining");
                return;
            }
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits for the end of the parent, once.
async fn ended(parent: &mut Option<ParentEnd>) {
    match parent {
        Some(end) => end.await,
        None => std::future::pending().await,
    }
    *parent = None;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let ignored = Ignored::from_status("SigBlk:\t0000000000000000\nSigIgn:\t0000000180001001\nSigCgt:\t0\n");
        assert!(ignored.has(Number::HUP) && ignored.has(Number::PIPE));
        assert!(!ignored.has(Number::INT) && !ignored.has(Number::TERM));
        assert!(!Ignored::from_status("").has(Number::HUP));
    }
}
