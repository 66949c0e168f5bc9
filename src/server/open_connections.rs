//! How many connections there are, and how many there may be.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The connections that are open. Clones count the same ones.
#[derive(Debug, Clone)]
pub(crate) struct OpenConnections {
    room: Arc<Semaphore>,
    most: usize,
}

impl OpenConnections {
    /// Room for this many, and for one at least.
    pub(super) fn at_most(most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(most)), most }
    }

    /// A place for one more, as soon as there is one. Nothing if there never will be.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// How many of them may wait for a change at a time: three quarters, so that long polls leave connections for other
    /// requests, but one always.
    pub(super) fn max_waiters(&self) -> usize {
        (self.most * 3 / 4).max(1)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.most - self.room.available_permits()
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
