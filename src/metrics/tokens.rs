//! What is counted of tokens, and how their source is, account by account.

use super::Metrics;
use crate::credentials::{Clock, Moment};
use gce_metadata_routes::token::TokenError;
use gce_metadata_routes::{Reader, Tree};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram, with_local_recorder};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const REQUESTS: &str = "metadata_token_requests_total";
pub(super) const REQUEST_LATENCY: &str = "metadata_token_request_duration_seconds";
const FETCHES: &str = "metadata_token_fetches_total";
pub(super) const FETCH_LATENCY: &str = "metadata_token_fetch_duration_seconds";
#[cfg(feature = "live")]
const CREDENTIAL_RELOADS: &str = "metadata_credential_reloads_total";

/// What is known of each account's tokens.
#[derive(Default)]
pub(super) struct Accounts {
    /// Since when there is the token that is served to an account now, and for how long it is good.
    expiries: Mutex<HashMap<String, (Moment, Duration)>>,
    clock: Clock,
    /// Whether the source answered when it was last asked for a token of this account and kind. A refusal is an answer.
    answered: Mutex<HashMap<(String, &'static str), bool>>,
    /// Which accounts there are.
    reader: OnceLock<Reader>,
}

impl Accounts {
    fn answered(&self) -> MutexGuard<'_, HashMap<(String, &'static str), bool>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When those tokens will be of no more use. Whoever says how long a token lives may say anything, never included.
    pub(super) fn expiries(&self) -> HashMap<String, Instant> {
        let expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let expiry =
            |(since, good): &(Moment, Duration)| now.instant.checked_add(good.saturating_sub(now.since(*since)));
        expiries.iter().filter_map(|(account, it)| Some((account.clone(), expiry(it)?))).collect()
    }

    fn minted(&self, account: &str, expires_in: Duration) {
        let since = self.clock.now();
        let mut expiries = self.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        expiries.insert(account.to_owned(), (since, expires_in));
    }
}

/// Must be called with the recorder that they are for.
pub(super) fn describe() {
    describe_counter!(REQUESTS, "Requests for tokens, partitioned by account, kind, source and outcome.");
    describe_histogram!(REQUEST_LATENCY, Unit::Seconds, "Duration of requests for tokens, cached ones included.");
    describe_counter!(
        FETCHES,
        "Times that the source was asked for a token, renewals included, whether or not anybody waited for its answer."
    );
    describe_histogram!(FETCH_LATENCY, Unit::Seconds, "How long the source took to answer.");
    #[cfg(feature = "live")]
    describe_counter!(CREDENTIAL_RELOADS, "Changes of credentials files, partitioned by whether they were taken over.");
}

fn outcome(failure: Option<&TokenError>) -> &'static str {
    match failure {
        None => "ok",
        Some(TokenError::NoSource { .. }) => "no_source",
        Some(TokenError::Refused { .. }) => "refused",
        Some(TokenError::TooMany) => "too_many",
        Some(_) => "unavailable",
    }
}

impl Metrics {
    /// Says which metadata is served. Until then every account counts.
    pub(crate) fn serving(&self, reader: Reader) {
        _ = self.0.accounts.reader.set(reader);
    }

    /// One request for a token, as it was answered. Whoever left before that is not among them.
    pub(crate) fn token_requested(
        &self,
        account: &str,
        kind: &'static str,
        source: &'static str,
        failure: Option<&TokenError>,
        latency: Duration,
    ) {
        self.answered([REQUESTS, REQUEST_LATENCY], account, kind, source, outcome(failure), latency);
    }

    /// One answer of the source itself, whoever still waits for it.
    pub(crate) fn token_fetched(
        &self,
        account: &str,
        kind: &'static str,
        source: &'static str,
        failure: Option<&TokenError>,
        latency: Duration,
    ) {
        let outcome = outcome(failure);
        match outcome {
            "ok" | "refused" | "unavailable" => {
                self.0.accounts.answered().insert((account.to_owned(), kind), outcome != "unavailable")
            }
            // Nobody was asked.
            _ => return,
        };
        self.answered([FETCHES, FETCH_LATENCY], account, kind, source, outcome, latency);
    }

    /// Counts and times one answer, in these two series.
    fn answered(
        &self,
        [counted, timed]: [&'static str; 2],
        account: &str,
        kind: &'static str,
        source: &'static str,
        outcome: &'static str,
        latency: Duration,
    ) {
        let account = account.to_owned();
        with_local_recorder(&self.0.recorder, || {
            counter!(counted, "account" => account.clone(), "kind" => kind, "source" => source, "outcome" => outcome)
                .increment(1);
            histogram!(timed, "account" => account, "kind" => kind, "source" => source).record(latency);
        });
    }

    /// A new access token for this account, good for so long.
    pub(crate) fn token_minted(&self, account: &str, expires_in: Duration) {
        self.0.accounts.minted(account, expires_in);
    }

    /// Credentials that changed, for the better or not.
    #[cfg(feature = "live")]
    pub(crate) fn credential_reload(&self, good: bool) {
        let outcome = if good { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(CREDENTIAL_RELOADS, "outcome" => outcome).increment(1));
    }

    /// Tokens of this account that are not served any more, of credentials that nobody asks any more.
    #[cfg(feature = "live")]
    pub(crate) fn tokens_forgotten(&self, account: &str) {
        self.0.accounts.answered().retain(|(known, _), _| known != account);
        self.0.accounts.expiries.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    /// Whether the token source answered any account, for all kinds of tokens, when it was last asked, or has not been asked
    /// yet. One that fails must not cost the others a server that works for them, and one that the metadata does not have any
    /// more is nobody's.
    pub(crate) fn tokens_are_well(&self) -> bool {
        let answered = self.0.accounts.answered();
        let tree = self.0.accounts.reader.get().map(|reader| reader.snapshot().tree().clone());
        let is_there = |account: &str| tree.as_ref().is_none_or(|tree| has(tree, account));
        let mut well = BTreeMap::new();
        for ((account, _), it) in answered.iter().filter(|((account, _), _)| is_there(account)) {
            *well.entry(account).or_insert(true) &= it;
        }
        well.is_empty() || well.values().any(|it| *it)
    }

    /// Whether the token source answered when it was last asked for a token of this account and kind. Nobody knows of one
    /// that has not been asked.
    #[cfg(feature = "live")]
    pub(crate) fn is_well(&self, account: &str, kind: &'static str) -> Option<bool> {
        self.0.accounts.answered().get(&(account.to_owned(), kind)).copied()
    }
}

/// Whether there is an account with this e-mail.
pub(super) fn has(tree: &Tree, account: &str) -> bool {
    tree.service_accounts().iter().any(|known| known.email == account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::moved;

    #[test]
    fn an_absurd_expiry_is_no_reason_to_panic() {
        let metrics = Metrics::new();
        metrics.token_minted("a@example.com", Duration::from_secs(3600));
        metrics.token_minted("a@example.com", Duration::MAX);
        assert!(metrics.0.accounts.expiries().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_ends_while_the_machine_sleeps() {
        let (clock, move_by) = moved();
        let accounts = Accounts { clock, ..Accounts::default() };
        accounts.minted("a@example.com", Duration::from_secs(3600));
        let left = || accounts.expiries()["a@example.com"].saturating_duration_since(Instant::now()).as_secs();
        assert_eq!(left(), 3600);
        move_by(3000);
        assert_eq!(left(), 600);
        move_by(3000);
        assert_eq!(left(), 0);
    }
}
