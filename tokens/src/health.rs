//! The health of a token source: whether it answered when it was last asked, for each account and kind of token.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Remembers whether the source answered its last fetch, for each account and kind of token. A refusal is an answer. Clones share
/// one state.
///
/// The token path writes it; `/readyz` and the supervisor of live accounts read it,
/// whether or not there are metrics.
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

    /// Whether the last fetch for this account and kind was answered; `None` if there was none yet.
    #[cfg(feature = "live")]
    pub(crate) fn answered(&self, account: &str, kind: &'static str) -> Option<bool> {
        self.lock().get(&(account.to_owned(), kind)).copied()
    }

    /// Drops what is known of an account whose credentials have changed.
    #[cfg(feature = "live")]
    pub(crate) fn forget(&self, account: &str) {
        self.lock().retain(|(known, _), _| known != account);
    }

    /// Whether the last fetches of at least one account were all answered, or there were none at all. One failing account must not
    /// take the server away from the others. Only accounts for which `is_served` holds count: the metadata may have lost some.
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
    fn a_source_is_ready_if_one_account_gets_both_kinds_of_tokens() {
        let health = SourceHealth::default();
        assert!(health.is_ready(|_| true), "nothing was fetched yet");
        health.record("a", "access", true);
        health.record("a", "identity", false);
        assert!(!health.is_ready(|_| true));
        assert!(health.is_ready(|account| account != "a"), "the metadata does not have the account any more");
        health.record("b", "access", true);
        assert!(health.is_ready(|_| true));
    }
}
