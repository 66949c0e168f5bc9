//! The settings of a server that is not ready at its start.

use crate::server::ServerBuilder;
use crate::server::readiness::{NotReady, StartReadiness};
use crate::simulation::SettingsDocument;
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

    /// The readiness at the start, which simulations may set; `None` if the server is always ready.
    pub(in crate::server) fn start_readiness(&self, simulated: Option<&SettingsDocument>) -> Option<StartReadiness> {
        let mut readiness = self.readiness;
        if let Some(settings) = simulated {
            readiness.manner = settings.not_ready().unwrap_or(readiness.manner);
            if settings.ready() == Some(false) {
                // Not ready until it is switched.
                readiness.ready_after = Some(Duration::MAX);
            }
        }
        let can_change = self.has_simulation() || readiness.ready_after.is_some();
        can_change.then_some(readiness)
    }
}
