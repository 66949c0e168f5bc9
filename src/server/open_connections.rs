//! Counts and limits open connections.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts and limits the open connections. Clones share the count.
#[derive(Debug, Clone)]
pub(crate) struct OpenConnections {
    slots: Arc<Semaphore>,
    max: usize,
}

impl OpenConnections {
    /// At most `max` connections, and at least one.
    pub(super) fn at_most(max: usize) -> Self {
        let max = max.clamp(1, Semaphore::MAX_PERMITS);
        Self { slots: Arc::new(Semaphore::new(max)), max }
    }

    /// Waits for a slot for another connection. Dropping the permit releases it.
    pub(super) async fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// The number of connections that may wait for a change at the same time: three quarters, so that long polls leave connections
    /// for other requests, but at least one.
    pub(super) fn max_waiters(&self) -> usize {
        (self.max * 3 / 4).max(1)
    }

    /// The number of open connections.
    pub(crate) fn count(&self) -> usize {
        self.max - self.slots.available_permits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_quarters_of_the_connections_may_wait() {
        for (connections, waiters) in [(16_000, 12_000), (8, 6), (5, 3), (2, 1), (1, 1), (0, 1)] {
            assert_eq!(OpenConnections::at_most(connections).max_waiters(), waiters, "{connections}");
        }
        assert!(OpenConnections::at_most(usize::MAX).max_waiters() > usize::MAX / 16, "no overflow");
    }
}
