//! A fault that a test has added: it is removed when the guard is dropped.

use super::store::{FaultStatus, Faults};
use std::thread;

/// Removes a fault when it is dropped: [`Faults::add`]. If the fault has an [expectation](super::Fault::expect) that does not hold then,
/// the guard panics, unless the thread panics already.
#[derive(Debug)]
#[must_use = "the fault is removed when the guard is dropped; `keep` leaves it"]
pub struct FaultGuard {
    faults: Faults,
    id: String,
    is_kept: bool,
}

impl FaultGuard {
    pub(super) fn new(faults: Faults, id: String) -> Self {
        Self { faults, id, is_kept: false }
    }

    /// The id of the fault, a UUID.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the fault has done so far; `None` if it was removed, such as by a reset.
    pub fn status(&self) -> Option<FaultStatus> {
        self.faults.status(&self.id)
    }

    /// The number of requests that the fault was injected into; 0 if it was removed.
    pub fn injected(&self) -> u64 {
        self.status().map_or(0, |status| status.injected)
    }

    /// Leaves the fault in the server, and returns its id. [`Server::verify`](crate::Server::verify) checks its expectation.
    pub fn keep(mut self) -> String {
        self.is_kept = true;
        self.id.clone()
    }
}

impl Drop for FaultGuard {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let unmet = self.faults.unmet_of(&self.id);
        self.faults.remove(&self.id);
        // A second panic would abort the process, and hide the first.
        if let Some(unmet) = unmet.filter(|_| !thread::panicking()) {
            panic!("{unmet}");
        }
    }
}
