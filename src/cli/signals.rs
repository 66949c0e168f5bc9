//! The signals that stop the program, the end of its parent, which stops it too, and the drain that follows.

use super::parent::{self, ParentEnd};
use gce_metadata_server::Server;
use std::io;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A second signal within this time counts as the first one: a terminal and a supervisor may both forward it.
const SAME_SIGNAL: Duration = Duration::from_secs(1);

/// The listeners for SIGTERM, SIGINT and the end of the parent.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// `None` if the parent is not followed, or has ended.
    parent: Option<ParentEnd>,
}

impl Stop {
    /// Installs the signal handlers. From then on the signals no longer kill the process.
    pub(super) fn listen() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, parent: None })
    }

    /// Counts the end of the parent as a signal.
    pub(super) fn follow_parent(self) -> io::Result<Self> {
        Ok(Self { parent: Some(parent::follow()?), ..self })
    }

    /// Waits for one of the signals.
    pub(super) async fn requested(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
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

/// Waits for the end of the parent, once.
async fn ended(parent: &mut Option<ParentEnd>) {
    match parent {
        Some(end) => end.await,
        None => std::future::pending().await,
    }
    *parent = None;
}
