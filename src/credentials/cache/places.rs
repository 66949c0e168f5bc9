//! How many fetches there may be at a time. They go on when whoever began them has left, each with a connection of its own, and
//! clients that come and go must not use up what the process may open. Each account has places of its own, because one whose
//! source is slow must not hold up another.

use gce_metadata_routes::ServiceAccount;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// For each account.
pub(super) const MOST_FETCHES: usize = 32;
/// How long a place among them is waited for.
pub(super) const LONGEST_QUEUE: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Places {
    /// A place, however long the queue is.
    pub(super) async fn in_turn(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        self.of(account).acquire_owned().await.ok()
    }

    /// A place, unless the queue is too long for somebody who waits.
    pub(super) async fn soon(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        timeout(LONGEST_QUEUE, self.in_turn(account)).await.ok().flatten()
    }

    fn of(&self, account: &ServiceAccount) -> Arc<Semaphore> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get(&account.email) {
            return Arc::clone(known);
        }
        // Accounts come and go with the metadata.
        places.retain(|_, known| Arc::strong_count(known) > 1);
        Arc::clone(places.entry(account.email.clone()).or_insert_with(|| Arc::new(Semaphore::new(MOST_FETCHES))))
    }
}
