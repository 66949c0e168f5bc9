//! The metrics of tokens: requests, fetches, expiry.

use super::Metrics;
use gce_metadata_routes::Tree;
use gce_metadata_routes::token::TokenError;
use gce_metadata_support::clock::{Clock, Moment};
use gce_metadata_tokens::{TokenEvents, TokenOutcome};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram, with_local_recorder};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const REQUESTS: &str = "metadata_token_requests_total";
pub(super) const REQUEST_LATENCY: &str = "metadata_token_request_duration_seconds";
const FETCHES: &str = "metadata_token_fetches_total";
pub(super) const FETCH_LATENCY: &str = "metadata_token_fetch_duration_seconds";
const CREDENTIAL_RELOADS: &str = "metadata_credential_reloads_total";

/// When the current access token of each account expires.
#[derive(Default)]
pub(super) struct TokenExpiries {
    /// When the token was minted, and its lifetime.
    minted: Mutex<HashMap<String, (Moment, Duration)>>,
    clock: Clock,
}

impl TokenExpiries {
    /// The time of expiry by account. A lifetime beyond the range of `Instant`, which a source may claim, is left out.
    pub(super) fn get(&self) -> HashMap<String, Instant> {
        let minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let expiry = |(since, lifetime): &(Moment, Duration)| {
            now.instant.checked_add(lifetime.saturating_sub(now.since(*since)))
        };
        minted.iter().filter_map(|(account, it)| Some((account.clone(), expiry(it)?))).collect()
    }

    fn minted(&self, account: &str, lifetime: Duration) {
        let since = self.clock.now();
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        minted.insert(account.to_owned(), (since, lifetime));
    }

    fn evicted(&self, account: &str) {
        self.minted.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }
}

/// Describes the metrics. Call it inside `with_local_recorder`.
pub(super) fn describe() {
    describe_counter!(REQUESTS, "Requests for tokens, partitioned by account, kind, source and outcome.");
    describe_histogram!(REQUEST_LATENCY, Unit::Seconds, "Duration of requests for tokens, cached ones included.");
    describe_counter!(FETCHES, "Fetches of tokens from the source, background refreshes included.");
    describe_histogram!(FETCH_LATENCY, Unit::Seconds, "Duration of fetches of tokens from the source.");
    describe_counter!(CREDENTIAL_RELOADS, "Reloads of credentials files, partitioned by whether they succeeded.");
}

/// The value of the label `outcome`.
pub(crate) fn outcome_label(error: Option<&TokenError>) -> &'static str {
    match error {
        None => "ok",
        Some(TokenError::NoSource { .. }) => "no_source",
        Some(TokenError::Refused { .. }) => "refused",
        Some(TokenError::TooMany) => "too_many",
        Some(_) => "unavailable",
    }
}

impl Metrics {
    /// Counts and times a request or a fetch, in this counter and this histogram.
    fn token_outcome(&self, [counted, timed]: [&'static str; 2], it: &TokenOutcome<'_>) {
        let (account, kind, source) = (it.account.to_owned(), it.kind, it.source);
        let outcome = outcome_label(it.error);
        with_local_recorder(&self.0.recorder, || {
            counter!(counted, "account" => account.clone(), "kind" => kind, "source" => source, "outcome" => outcome)
                .increment(1);
            histogram!(timed, "account" => account, "kind" => kind, "source" => source).record(it.latency);
        });
    }
}

impl TokenEvents for Metrics {
    fn requested(&self, outcome: &TokenOutcome<'_>) {
        self.token_outcome([REQUESTS, REQUEST_LATENCY], outcome);
    }

    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        self.token_outcome([FETCHES, FETCH_LATENCY], outcome);
    }

    /// Only access tokens have an expiry gauge, because there is an identity token for each audience.
    fn minted(&self, account: &str, kind: &'static str, lifetime: Duration) {
        if kind == "access" {
            self.0.token_expiries.minted(account, lifetime);
        }
    }

    fn evicted(&self, account: &str) {
        self.0.token_expiries.evicted(account);
    }

    fn reloaded(&self, ok: bool) {
        let outcome = if ok { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(CREDENTIAL_RELOADS, "outcome" => outcome).increment(1));
    }
}

/// Whether the metadata has an account with this e-mail.
pub(crate) fn has_account(tree: &Tree, account: &str) -> bool {
    tree.service_accounts().iter().any(|known| known.email == account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_support::clock::movable;

    #[test]
    fn a_lifetime_beyond_the_range_of_instant_is_left_out() {
        let metrics = Metrics::new();
        metrics.minted("a@example.com", "access", Duration::from_secs(3600));
        metrics.minted("a@example.com", "access", Duration::MAX);
        assert!(metrics.0.token_expiries.get().is_empty());
    }

    #[test]
    fn only_access_tokens_that_are_not_evicted_have_an_expiry_gauge() {
        let metrics = Metrics::new();
        metrics.minted("a@example.com", "identity", Duration::from_secs(3600));
        assert!(metrics.0.token_expiries.get().is_empty());
        metrics.minted("a@example.com", "access", Duration::from_secs(3600));
        assert!(metrics.0.token_expiries.get().contains_key("a@example.com"));
        metrics.evicted("a@example.com");
        assert!(metrics.0.token_expiries.get().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_expiry_counts_down_while_the_machine_sleeps() {
        let (clock, move_by) = movable();
        let expiries = TokenExpiries { clock, ..TokenExpiries::default() };
        expiries.minted("a@example.com", Duration::from_secs(3600));
        let left = || expiries.get()["a@example.com"].saturating_duration_since(Instant::now()).as_secs();
        assert_eq!(left(), 3600);
        move_by(3000);
        assert_eq!(left(), 600);
        move_by(3000);
        assert_eq!(left(), 0);
    }

    #[test]
    fn fetches_are_counted_and_timed_by_account_kind_source_and_outcome() {
        let metrics = Metrics::new();
        let down = TokenError::Unavailable { reason: "down".into() };
        for _ in 0..2 {
            let outcome = TokenOutcome::new("a@example.com", "access", "test", Duration::from_secs(30));
            metrics.fetched(&outcome.failed(&down));
        }
        let (labels, text) = (r#"account="a@example.com",kind="access",source="test""#, metrics.render_recorded());
        for series in [
            format!("metadata_token_fetches_total{{{labels},outcome=\"unavailable\"}} 2"),
            format!("metadata_token_fetch_duration_seconds_sum{{{labels}}} 60"),
        ] {
            assert!(text.contains(&series), "{text}");
        }
    }
}
