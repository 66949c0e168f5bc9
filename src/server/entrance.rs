//! Accepts the connections of a listener, which can be told to refuse them and to reset the open ones while the server runs.

use super::listener::Listener;
use super::socket::{Accepted, Socket};
use gce_metadata_layers::Connection;
use std::future::pending;
use std::io;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Makes a listener refuse connections, or accept them again.
pub(super) struct Switch {
    pub(super) refuse: bool,
    /// Receives the connections that are being reset.
    pub(super) done: oneshot::Sender<io::Result<TaskTracker>>,
}

/// A listener whose connections are accepted, and its switches.
pub(super) struct Entrance {
    listener: Listener,
    /// `None` if the listener always accepts.
    switches: Option<mpsc::Receiver<Switch>>,
    open: OpenGroup,
}

/// The connections that the next refusal resets.
#[derive(Default)]
struct OpenGroup {
    reset: CancellationToken,
    connections: TaskTracker,
}

impl Entrance {
    /// Always accepts.
    pub(super) fn always(listener: Listener) -> Self {
        Self { listener, switches: None, open: OpenGroup::default() }
    }

    /// Accepts and refuses as these switches say.
    pub(super) fn switched(listener: Listener, switches: mpsc::Receiver<Switch>) -> Self {
        Self { switches: Some(switches), ..Self::always(listener) }
    }

    /// Waits for a connection.
    pub(super) async fn accept(&mut self) -> io::Result<(Accepted, Connection)> {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => return accepted,
                switch = next(&mut self.switches) => { self.apply(switch); }
            }
        }
    }

    /// Completes when an accepted connection must be reset.
    pub(super) async fn refused(&mut self) {
        loop {
            let switch = next(&mut self.switches).await;
            if self.apply(switch) {
                return;
            }
        }
    }

    /// What resets a connection that was accepted just now; `None` if it is never reset.
    pub(super) fn resets(&self) -> Option<Resets> {
        self.switches.as_ref()?;
        Some(Resets { reset: self.open.reset.clone(), _counted: self.open.connections.token() })
    }

    /// Applies a switch. Returns whether open connections are reset.
    fn apply(&mut self, switch: Switch) -> bool {
        let Switch { refuse, done } = switch;
        let switched = if refuse { self.listener.refuse() } else { self.listener.listen() };
        let resets = refuse && switched.is_ok();
        let switched = switched.map(|()| {
            let group = if resets { std::mem::take(&mut self.open) } else { OpenGroup::default() };
            group.reset.cancel();
            group.connections.close();
            group.connections
        });
        // The receiver may have given up; the switch is made all the same.
        let _ = done.send(switched);
        resets
    }
}

/// The next switch; never, if there is none.
async fn next(switches: &mut Option<mpsc::Receiver<Switch>>) -> Switch {
    if let Some(receiver) = switches
        && let Some(switch) = receiver.recv().await
    {
        return switch;
    }
    pending().await
}

/// Resets a connection when its listener is told to refuse.
pub(super) struct Resets {
    reset: CancellationToken,
    /// Ends when the connection has ended.
    _counted: TaskTrackerToken,
}

impl Resets {
    /// Completes when the connection must be reset; closing it then resets it. Never without `Resets`.
    pub(super) async fn reset(resets: Option<&Self>, socket: &Socket) {
        match resets {
            Some(resets) => resets.reset.cancelled().await,
            None => pending().await,
        }
        socket.reset_on_close();
    }
}
