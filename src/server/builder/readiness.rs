//! The settings of a server that is not ready at its start.

use crate::server::ServerBuilder;
use crate::server::readiness::{NotReady, StartReadiness};
use std::time::Duration;

impl ServerBuilder {
    /// Starts the server not ready, and makes it ready after this time, which begins with the end of the start. Until then, clients are
    /// refused, or treated as [`not_ready`](Self::not_ready) says.
    pub fn ready_after(mut self, time: Duration) -> Self {
        self.readiness.ready_after = Some(time);
        self
    }

    /// Sets how a server that is not ready treats its clients. The default is [`NotReady::Refuse`].
    pub fn not_ready(mut self, manner: NotReady) -> Self {
        self.readiness.manner = manner;
        self
    }

    /// Whether faults, delays and the like may be simulated while the server runs.
    pub(in crate::server) fn has_simulation(&self) -> bool {
        self.simulates || self.admin.is_some()
    }

    /// The readiness at the start; `None` if the server is always ready.
    pub(in crate::server) fn start_readiness(&self) -> Option<StartReadiness> {
        let can_change = self.has_simulation() || self.readiness.ready_after.is_some();
        can_change.then_some(self.readiness)
    }
}
