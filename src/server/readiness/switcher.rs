//! The task that makes the switches of a [`Readiness`]: it tells the listeners whether to refuse ([`Switch`]), and the layer
//! `SimulateOutage` the rest.

use super::{NotReady, Readiness, ReadinessError};
use crate::server::entrance::Switch;
use gce_metadata_layers::Outage;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;

/// A command for the task.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) command: Command,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// The connections that a command resets.
type Outcome = Result<Vec<TaskTracker>, ReadinessError>;

#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    Set(Option<NotReady>),
    Change { ready: Option<bool>, manner: Option<NotReady> },
    Reset,
}

/// The state that the handle shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    pub(super) not_ready: Option<NotReady>,
    pub(super) manner: NotReady,
}

/// The state of a server at its start.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::server) struct StartReadiness {
    /// The time for which the server is not ready; `None` if it is ready at once.
    pub(in crate::server) ready_after: Option<Duration>,
    pub(in crate::server) manner: NotReady,
}

impl StartReadiness {
    /// Whether the server begins with refusing connections.
    pub(in crate::server) fn refuses(self) -> bool {
        self.ready_after.is_some() && self.manner == NotReady::Refuse
    }
}

/// Makes the switches of a [`Readiness`].
pub(in crate::server) struct Switcher {
    calls: mpsc::Receiver<Call>,
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
    pub(in crate::server) fn new(start: StartReadiness) -> (Self, Readiness) {
        let (sender, calls) = mpsc::channel(1);
        let not_ready = start.ready_after.map(|_| start.manner);
        let (current, changes) = watch::channel(Current { not_ready, manner: start.manner });
        let outage = watch::Sender::new(not_ready.and_then(outage));
        let ready_at = start.ready_after.and_then(|time| Instant::now().checked_add(time));
        let switcher = Self { calls, current, listeners: Vec::new(), outage, start, ready_at, is_set: false };
        (switcher, Readiness { calls: sender, current: changes })
    }

    /// The switches of another listener.
    pub(in crate::server) fn listener(&mut self) -> mpsc::Receiver<Switch> {
        let (sender, switches) = mpsc::channel(1);
        self.listeners.push(sender);
        switches
    }

    /// The outage for the layer `SimulateOutage`.
    pub(in crate::server) fn outage(&self) -> watch::Receiver<Option<Outage>> {
        self.outage.subscribe()
    }

    /// Makes switches until the last handle is dropped.
    pub(in crate::server) async fn run(mut self) {
        loop {
            let is_starting = !self.is_set && self.current.borrow().not_ready.is_some();
            let ready_at = self.ready_at.filter(|_| is_starting);
            tokio::select! {
                call = self.calls.recv() => {
                    let Some(Call { command, reply }) = call else { return };
                    // The caller may have given up.
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

    async fn execute(&mut self, command: Command) -> Outcome {
        match command {
            Command::Set(not_ready) => {
                let reset = self.switch(not_ready).await?;
                self.is_set = true;
                Ok(reset)
            }
            Command::Change { ready, manner } => {
                let current = *self.current.borrow();
                let not_ready = match ready {
                    Some(true) => None,
                    Some(false) => Some(manner.unwrap_or(current.manner)),
                    None => current.not_ready.map(|before| manner.unwrap_or(before)),
                };
                let reset = self.switch(not_ready).await?;
                self.current.send_modify(|current| current.manner = manner.unwrap_or(current.manner));
                self.is_set |= ready.is_some();
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
    async fn switch(&self, not_ready: Option<NotReady>) -> Outcome {
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

    async fn switch_listeners(&self, refuse: bool) -> Outcome {
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
