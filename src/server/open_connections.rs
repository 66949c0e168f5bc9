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

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.most - self.room.available_permits()
    }
}
