//! The health of a token source: whether it answered its last fetch, and the error of that fetch, for each account and
//! kind of token.

use gce_metadata_routes::token::TokenError;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The record of whether a source answered its last fetch, for each account and kind of token. A refusal is an answer.
/// Clones share one record.
///
/// The token path writes it; `/readyz` and the supervisor of live accounts read it. It does not depend on metrics.
#[derive(Debug, Clone, Default)]
pub struct SourceHealth(Arc<Mutex<LastFetches>>);

/// By account and kind.
type LastFetches = HashMap<(String, &'static str), LastFetch>;

#[derive(Debug)]
struct LastFetch {
    answered: bool,
    /// A refusal is an error too, although it is an answer.
    error: Option<TokenError>,
}

impl SourceHealth {
    fn lock(&self) -> MutexGuard<'_, LastFetches> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a fetch, and its error if it failed.
    pub(crate) fn record(&self, account: &str, kind: &'static str, error: Option<&TokenError>) {
        let answered = matches!(error, None | Some(TokenError::Refused { .. }));
        self.lock().insert((account.to_owned(), kind), LastFetch { answered, error: error.cloned() });
    }

    /// Returns the error of the last fetch for this account and kind, if the fetch failed.
    pub(crate) fn error(&self, account: &str, kind: &'static str) -> Option<TokenError> {
        self.lock().get(&(account.to_owned(), kind))?.error.clone()
    }

    /// Whether the last fetch for this account and kind was answered; `None` before the first fetch.
    #[cfg(feature = "live")]
    pub(crate) fn answered(&self, account: &str, kind: &'static str) -> Option<bool> {
        self.lock().get(&(account.to_owned(), kind)).map(|last| last.answered)
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
        let fetches = self.lock();
        let mut accounts = BTreeMap::new();
        for ((account, _), last) in fetches.iter().filter(|((account, _), _)| is_served(account)) {
            *accounts.entry(account).or_insert(true) &= last.answered;
        }
        accounts.is_empty() || accounts.values().any(|answered| *answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_ready_if_all_last_fetches_of_one_account_were_answered() {
        let (health, down) = (SourceHealth::default(), TokenError::Unavailable { reason: "down".into() });
        assert!(health.is_ready(|_| true), "nothing was fetched yet");
        health.record("a", "access", None);
        health.record("a", "identity", Some(&down));
        assert!(!health.is_ready(|_| true));
        assert!(health.is_ready(|account| account != "a"), "the account was removed from the metadata");
        health.record("b", "access", None);
        assert!(health.is_ready(|_| true));
    }

    #[test]
    fn the_error_of_a_fetch_is_kept_until_the_next_fetch() {
        let (health, refused) = (SourceHealth::default(), TokenError::Refused { reason: "disabled".into() });
        assert!(health.error("a", "access").is_none());
        health.record("a", "access", Some(&refused));
        assert_eq!(health.error("a", "access").unwrap().to_string(), "token refused: disabled");
        assert!(health.error("a", "identity").is_none() && health.error("b", "access").is_none());
        assert!(health.is_ready(|_| true), "a refusal is an answer");
        health.record("a", "access", None);
        assert!(health.error("a", "access").is_none());
    }
}
