//! The limit to in-flight fetches. Fetches outlive the clients that began them and each may hold a connection, so clients that
//! come and go must not use up the process' file descriptors. The limit is per account: a slow source of one account must not
//! delay another account.

use gce_metadata_routes::ServiceAccount;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// In-flight fetches of an account, for each kind of token.
pub(super) const MAX_FETCHES: usize = 32;
/// How long a request waits for a slot.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(10);

/// A semaphore for each account.
#[derive(Debug, Default)]
pub(super) struct FetchSlots(Mutex<HashMap<String, Arc<Semaphore>>>);

impl FetchSlots {
    /// A slot, however long that takes.
    pub(super) async fn acquire(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        self.of(account).acquire_owned().await.ok()
    }

    /// A slot, or `None` after [`MAX_WAIT`].
    pub(super) async fn acquire_timeout(&self, account: &ServiceAccount) -> Option<OwnedSemaphorePermit> {
        timeout(MAX_WAIT, self.acquire(account)).await.ok().flatten()
    }

    fn of(&self, account: &ServiceAccount) -> Arc<Semaphore> {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = slots.get(&account.email) {
            return Arc::clone(known);
        }
        // Accounts come and go with the metadata, so semaphores that are not in use are dropped.
        slots.retain(|_, known| Arc::strong_count(known) > 1);
        Arc::clone(slots.entry(account.email.clone()).or_insert_with(|| Arc::new(Semaphore::new(MAX_FETCHES))))
    }
}
