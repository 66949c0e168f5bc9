//! Whether clients can reach the metadata server. A server that is not ready refuses connections, answers 503, or does not answer.
//!
//! [`Readiness`] is the handle. One task makes all switches ([`Switcher`]), so that they never overlap, and so that a caller that gives
//! up leaves no switch half made. It tells the listeners whether to refuse ([`Switch`]), and the layer `SimulateOutage` the rest.

use super::entrance::Switch;
use gce_metadata_layers::Outage;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

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
    commands: mpsc::Sender<(Command, oneshot::Sender<Result<Vec<TaskTracker>, ReadinessError>>)>,
    current: watch::Receiver<Current>,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    Set(Option<NotReady>),
    Manner(NotReady),
    Reset,
}

/// The state that the handle shows.
#[derive(Debug, Clone, Copy)]
struct Current {
    not_ready: Option<NotReady>,
    manner: NotReady,
}

impl Readiness {
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

    /// Sets the manner for callers that name none. A server that is not ready changes to it.
    pub(crate) async fn set_manner(&self, manner: NotReady) -> Result<(), ReadinessError> {
        self.command(Command::Manner(manner)).await
    }

    /// Sets the state of the start again: ready, unless the start time is still to come.
    pub(crate) async fn reset(&self) -> Result<(), ReadinessError> {
        self.command(Command::Reset).await
    }

    async fn command(&self, command: Command) -> Result<(), ReadinessError> {
        let (reply, replied) = oneshot::channel();
        self.commands.send((command, reply)).await.map_err(|_| ReadinessError::Stopped)?;
        let connections = replied.await.map_err(|_| ReadinessError::Stopped)??;
        for connections in connections {
            connections.wait().await;
        }
        Ok(())
    }
}

/// The state of a server at its start.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StartReadiness {
    /// The time for which the server is not ready; `None` if it is ready at once.
    pub(super) ready_after: Option<Duration>,
    pub(super) manner: NotReady,
}

impl StartReadiness {
    /// Whether the server begins with refusing connections.
    pub(super) fn refuses(self) -> bool {
        self.ready_after.is_some() && self.manner == NotReady::Refuse
    }
}

/// Makes the switches of a [`Readiness`].
pub(super) struct Switcher {
    commands: mpsc::Receiver<(Command, oneshot::Sender<Result<Vec<TaskTracker>, ReadinessError>>)>,
    current: watch::Sender<Current>,
    listeners: Vec<mpsc::Sender<Switch>>,
    outage: watch::Sender<Option<Outage>>,
    start: StartReadiness,
    /// When the server becomes ready by itself; `None` if it is ready at once, or if that is too far in the future.
    ready_at: Option<Instant>,
    /// Whether a command has replaced the state of the start.
    is_set: bool,
}

impl Switcher {
    pub(super) fn new(start: StartReadiness) -> (Self, Readiness) {
        let (sender, commands) = mpsc::channel(1);
        let not_ready = start.ready_after.map(|_| start.manner);
        let (current, changes) = watch::channel(Current { not_ready, manner: start.manner });
        let outage = watch::Sender::new(not_ready.and_then(outage));
        let ready_at = start.ready_after.and_then(|time| Instant::now().checked_add(time));
        let switcher = Self { commands, current, listeners: Vec::new(), outage, start, ready_at, is_set: false };
        (switcher, Readiness { commands: sender, current: changes })
    }

    /// The switches of another listener.
    pub(super) fn listener(&mut self) -> mpsc::Receiver<Switch> {
        let (sender, switches) = mpsc::channel(1);
        self.listeners.push(sender);
        switches
    }

    /// The outage for the layer `SimulateOutage`.
    pub(super) fn outage(&self) -> watch::Receiver<Option<Outage>> {
        self.outage.subscribe()
    }

    /// Makes switches until the last handle is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let is_starting = !self.is_set && self.current.borrow().not_ready.is_some();
            let ready_at = self.ready_at.filter(|_| is_starting);
            tokio::select! {
                command = self.commands.recv() => {
                    let Some((command, reply)) = command else { return };
                    let _ = reply.send(self.execute(command).await);
                }
                () = sleep_until(ready_at.unwrap_or_else(Instant::now)), if ready_at.is_some() => self.become_ready().await,
            }
        }
    }

    async fn become_ready(&mut self) {
        match self.switch(None).await {
            Ok(_) => tracing::info!("the server is ready"),
            Err(error) => {
                tracing::error!("the server does not become ready: {error}");
                // Not tried again in a loop.
                self.is_set = true;
            }
        }
    }

    async fn execute(&mut self, command: Command) -> Result<Vec<TaskTracker>, ReadinessError> {
        match command {
            Command::Set(not_ready) => {
                let reset = self.switch(not_ready).await?;
                self.is_set = true;
                Ok(reset)
            }
            Command::Manner(manner) => {
                let not_ready = self.current.borrow().not_ready.map(|_| manner);
                let reset = self.switch(not_ready).await?;
                self.current.send_modify(|current| current.manner = manner);
                Ok(reset)
            }
            Command::Reset => {
                let manner = self.start.manner;
                let is_early = match (self.start.ready_after, self.ready_at) {
                    (Some(_), Some(ready_at)) => Instant::now() < ready_at,
                    (after, _) => after.is_some(),
                };
                let reset = self.switch(is_early.then_some(manner)).await?;
                self.current.send_modify(|current| current.manner = manner);
                self.is_set = false;
                Ok(reset)
            }
        }
    }

    /// Puts a state in place of the current one. Returns the connections that are being reset.
    async fn switch(&self, not_ready: Option<NotReady>) -> Result<Vec<TaskTracker>, ReadinessError> {
        let refuses = not_ready == Some(NotReady::Refuse);
        let was_refusing = self.current.borrow().not_ready == Some(NotReady::Refuse);
        let outage = not_ready.and_then(outage);
        // No request must be answered as if the server were ready: an outage begins before the listeners accept, and ends after they refuse.
        if !refuses {
            self.outage.send_if_modified(|current| std::mem::replace(current, outage) != outage);
        }
        let reset = if refuses == was_refusing { Vec::new() } else { self.switch_listeners(refuses).await? };
        if refuses {
            self.outage.send_if_modified(|current| std::mem::replace(current, outage) != outage);
        }
        self.current.send_modify(|current| current.not_ready = not_ready);
        Ok(reset)
    }

    async fn switch_listeners(&self, refuse: bool) -> Result<Vec<TaskTracker>, ReadinessError> {
        let mut reset = Vec::new();
        for listener in &self.listeners {
            match tell(listener, refuse).await {
                Ok(connections) => reset.extend(connections),
                Err(error) => {
                    for listener in &self.listeners {
                        if let Err(error) = tell(listener, !refuse).await {
                            tracing::error!("a listener can't be switched back: {error}");
                        }
                    }
                    let what = if refuse { "refuse connections" } else { "accept connections again" };
                    return Err(ReadinessError::Listener { what, error });
                }
            }
        }
        Ok(reset)
    }
}

/// Switches one listener. A listener that has stopped is left alone.
async fn tell(listener: &mpsc::Sender<Switch>, refuse: bool) -> io::Result<Option<TaskTracker>> {
    let (done, switched) = oneshot::channel();
    if listener.send(Switch { refuse, done }).await.is_err() {
        return Ok(None);
    }
    switched.await.map_or(Ok(None), |connections| connections.map(Some))
}

/// The part of a state that the layer `SimulateOutage` simulates.
fn outage(not_ready: NotReady) -> Option<Outage> {
    match not_ready {
        NotReady::Refuse => None,
        NotReady::Unavailable => Some(Outage::Unavailable),
        NotReady::Hang => Some(Outage::Hang),
    }
}
