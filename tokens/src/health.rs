//! The health of a token source: whether it answered its last fetch, for each account and kind of token.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The record of whether a source answered its last fetch, for each account and kind of token. A refusal is an answer.
/// Clones share one record.
///
/// The token path writes it; `/readyz` and the supervisor of live accounts read it. It does not depend on metrics.
#[derive(Debug, Clone, Default)]
pub struct SourceHealth(Arc<Mutex<Answered>>);

/// By account and kind.
type Answered = HashMap<(String, &'static str), bool>;

impl SourceHealth {
    fn lock(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, account: &str, kind: &'static str, answered: bool) {
        self.lock().insert((account.to_owned(), kind), answered);
    }

    /// Whether the last fetch for this account and kind was answered; `None` before the first fetch.
    #[cfg(feature = "live")]
    pub(crate) fn answered(&self, account: &str, kind: &'static str) -> Option<bool> {
        self.lock().get(&(account.to_owned(), kind)).copied()
    }

    /// Drops the record of an account whose credentials have changed.
    #[cfg(feature = "live")]
    pub(crate) fn forget(&self, account: &str) {
        self.lock().retain(|(known, _), _| known != account);
    }

    /// Returns whether the source is ready: the last fetches of at least one account were all answered, or nothing was
    /// fetched yet. A single failing account must not take the server out of service for the others. Only accounts for
    /// which `is_served` holds count, because others may have been removed from the metadata.
    pub fn is_ready(&self, is_served: impl Fn(&str) -> bool) -> bool {
        let answered = self.lock();
        let mut accounts = BTreeMap::new();
        for ((account, _), answered) in answered.iter().filter(|((account, _), _)| is_served(account)) {
            *accounts.entry(account).or_insert(true) &= answered;
        }
        accounts.is_empty() || accounts.values().any(|answered| *answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_ready_if_all_last_fetches_of_one_account_were_answered() {
        let health = SourceHealth::default();
        assert!(health.is_ready(|_| true), "nothing was fetched yet");
        health.record("a", "access", true);
        health.record("a", "identity", false);
        assert!(!health.is_ready(|_| true));
        assert!(health.is_ready(|account| account != "a"), "the account was removed from the metadata");
        health.record("b", "access", true);
        assert!(health.is_ready(|_| true));
    }
}
