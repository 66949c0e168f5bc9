//! Whether clients can reach the metadata server. A server that is not ready refuses connections, answers 503, or does not answer.
//!
//! [`Readiness`] is the handle. One task makes all switches ([`Switcher`]), so that they never overlap, and so that a caller that gives
//! up leaves no switch half made.

mod switcher;

pub(super) use switcher::{StartReadiness, Switcher};

use std::io;
use switcher::{Call, Command, Current};
use tokio::sync::{mpsc, oneshot, watch};

/// How a server that is not ready treats its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum NotReady {
    /// Connections are refused (`ECONNREFUSED`), and open ones are reset. The server keeps its port or the path of its Unix socket.
    #[default]
    Refuse,
    /// Requests are answered 503, with Google's error page.
    Unavailable,
    /// Connections are accepted, and requests are never answered, also when the server is ready again. A TLS handshake succeeds.
    Hang,
}

/// An error of [`Readiness`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadinessError {
    /// A listener could not be switched. All listeners are as they were before.
    #[error("the listener can't {what}: {error}")]
    Listener {
        /// What it was told to do.
        what: &'static str,
        /// The cause.
        error: io::Error,
    },
    /// The server has stopped.
    #[error("the server has stopped")]
    Stopped,
}

/// Makes a running server ready or not ready. Clones control the same server.
///
/// Only the metadata listeners are concerned, not those of metrics and of the admin API.
#[derive(Debug, Clone)]
pub struct Readiness {
    calls: mpsc::Sender<Call>,
    current: watch::Receiver<Current>,
}

impl Readiness {
    /// A readiness without listeners.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Switcher::new(StartReadiness::default()).1
    }

    /// Makes the server ready. A start time that is still to come ([`ready_after`](crate::ServerBuilder::ready_after)) is void.
    ///
    /// # Errors
    /// If the server can't listen again, or has stopped.
    pub async fn set_ready(&self) -> Result<(), ReadinessError> {
        self.command(Command::Set(None)).await
    }

    /// Makes the server not ready in this manner. Completes when new clients are treated so and, with [`NotReady::Refuse`], when all open
    /// connections have ended.
    ///
    /// # Errors
    /// If the server's address can't be kept without listening, or the server has stopped.
    pub async fn set_not_ready(&self, manner: NotReady) -> Result<(), ReadinessError> {
        self.command(Command::Set(Some(manner))).await
    }

    /// Whether the server is ready.
    pub fn is_ready(&self) -> bool {
        self.not_ready().is_none()
    }

    /// How the server treats its clients now; `None` if it is ready.
    pub fn not_ready(&self) -> Option<NotReady> {
        self.current.borrow().not_ready
    }

    /// The manner for callers that name none.
    pub(crate) fn manner(&self) -> NotReady {
        self.current.borrow().manner
    }

    /// Makes the server ready or not ready, and sets the manner for callers that name none. `None` leaves either as it is. A server that is
    /// not ready changes to the new manner.
    pub(crate) async fn change(&self, ready: Option<bool>, manner: Option<NotReady>) -> Result<(), ReadinessError> {
        self.command(Command::Change { ready, manner }).await
    }

    /// Sets the state of the start again: ready, unless the start time is still to come.
    pub(crate) async fn reset(&self) -> Result<(), ReadinessError> {
        self.command(Command::Reset).await
    }

    async fn command(&self, command: Command) -> Result<(), ReadinessError> {
        let (reply, replied) = oneshot::channel();
        self.calls.send(Call { command, reply }).await.map_err(|_| ReadinessError::Stopped)?;
        let connections = replied.await.map_err(|_| ReadinessError::Stopped)??;
        for connections in connections {
            connections.wait().await;
        }
        Ok(())
    }
}
