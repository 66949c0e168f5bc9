//! The limit on in-flight fetches. A fetch continues when its client disconnects, and may hold a connection: without a
//! limit, clients that connect and disconnect could exhaust the file descriptors. The limit is per account: a slow
//! source of one account must not delay another account.

use gce_metadata_routes::ServiceAccount;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The maximum of in-flight fetches per account and kind of token.
pub(super) const MAX_FETCHES: usize = 32;
/// How long a request waits for a slot.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);

/// A semaphore for each account.
#[derive(Debug, Default)]
pub(super) struct FetchSlots(Mutex<HashMap<String, Arc<Semaphore>>>);

impl FetchSlots {
    /// Waits for a slot without a time-out.
    pub(super) async fn acquire(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        self.of(account).acquire_owned().await.ok()
    }

    /// Waits for a slot; returns `None` after [`MAX_WAIT`].
    pub(super) async fn acquire_timeout(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        timeout(MAX_WAIT, self.acquire(account)).await.ok().flatten()
    }

    fn of(&self, account: &ServiceAccount) -> Arc<Semaphore> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slots.get(&account.email) {
            return Arc::clone(known);
        }
        // The accounts of the metadata change, so unused semaphores are dropped.
        slots.retain(|_, known| Arc::strong_count(known) > 1);
        Arc::clone(slots.entry(account.email.clone()).or_insert_with(|| Arc::new(Semaphore::new(MAX_FETCHES))))
    }
}
