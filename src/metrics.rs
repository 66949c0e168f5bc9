//! What is counted, and its form for Prometheus.
//!
//! Names, types and labels of the first six metrics are the Go emulator's. Each server has a recorder of its own: two in
//! one process don't mix. What happens is counted as it happens; what merely *is* (the generation, who waits, which key
//! signs) is looked up at each scrape, so that it is never stale and no series outlives what it tells of.

mod state;

pub(crate) use state::State;

use gce_metadata_layers::{Answered, MatchedPath, Record};
use gce_metadata_routes::token::TokenError;
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

const LATENCY: &str = "metadata_endpoint_latency_seconds";
const REQUESTS: &str = "metadata_endpoint_path_requests";
const TOKEN_REQUESTS: &str = "metadata_token_requests_total";
const TOKEN_LATENCY: &str = "metadata_token_request_duration_seconds";

/// The default buckets of Prometheus' Go client, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const TLS_HANDSHAKES: &str = "metadata_tls_handshakes_total";
const TLS_RELOADS: &str = "metadata_tls_reloads_total";
#[cfg(feature = "live")]
const CREDENTIAL_RELOADS: &str = "metadata_credential_reloads_total";
const GUEST_ATTRIBUTES_SAVES: &str = "metadata_guest_attributes_saves_total";

const UPKEEP: Duration = Duration::from_secs(5);

/// The label of every path that names nothing.
const UNMATCHED: &str = "unmatched";

/// What one server has counted. Clones count together.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    endpoints: RwLock<HashMap<Box<str>, Endpoint>>,
    /// When the token that is served to an account now will be of no more use.
    expiries: Mutex<HashMap<String, Instant>>,
    /// Whether an account was denied its last token for want of an answer. A refusal is an answer.
    unavailable: Mutex<HashMap<String, bool>>,
}

/// The series of one path. A registered handle is six times as fast as a look-up by labels.
struct Endpoint {
    latency: Histogram,
    requests: Vec<(u16, Counter)>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let builder = [LATENCY, TOKEN_LATENCY].into_iter().fold(PrometheusBuilder::new(), |builder, name| {
            // Without buckets a histogram would be rendered as a summary. It fails for an empty list only.
            builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &BUCKETS).unwrap_or_default()
        });
        let recorder = builder.build_recorder();
        with_local_recorder(&recorder, || {
            describe_histogram!(LATENCY, Unit::Seconds, "Duration of HTTP requests, long polls included.");
            describe_counter!(REQUESTS, "Requests, partitioned by status code and path.");
            describe_counter!(TOKEN_REQUESTS, "Requests for tokens, partitioned by account, kind, source and outcome.");
            describe_counter!(TLS_HANDSHAKES, "TLS handshakes, partitioned by outcome.");
            describe_counter!(TLS_RELOADS, "Changes of certificates, partitioned by whether they were taken over.");
            #[cfg(feature = "live")]
            describe_counter!(
                CREDENTIAL_RELOADS,
                "Changes of credentials files, partitioned by whether they were taken over."
            );
            describe_counter!(
                GUEST_ATTRIBUTES_SAVES,
                "Times that guest attributes were written to their file, partitioned by whether they could be."
            );
            describe_histogram!(TOKEN_LATENCY, Unit::Seconds, "Duration of requests for tokens, cached ones included.");
        });
        Self(Arc::new(Inner {
            recorder,
            endpoints: RwLock::default(),
            expiries: Mutex::default(),
            unavailable: Mutex::default(),
        }))
    }

    /// One request for a token, as its source answered it.
    pub(crate) fn token_requested(
        &self,
        account: &str,
        kind: &'static str,
        source: &'static str,
        failure: Option<&TokenError>,
        latency: Duration,
    ) {
        let outcome = match failure {
            None => "ok",
            Some(TokenError::NoSource { .. }) => "no_source",
            Some(TokenError::Refused { .. }) => "refused",
            Some(TokenError::TooMany) => "too_many",
            Some(_) => "unavailable",
        };
        if matches!(outcome, "ok" | "refused" | "unavailable") {
            let mut unavailable = self.0.unavailable.lock().unwrap_or_else(PoisonError::into_inner);
            match unavailable.get_mut(account) {
                Some(it) => *it = outcome == "unavailable",
                None => _ = unavailable.insert(account.to_owned(), outcome == "unavailable"),
            }
        }
        with_local_recorder(&self.0.recorder, || {
            let account = account.to_owned();
            counter!(TOKEN_REQUESTS, "account" => account.clone(), "kind" => kind, "source" => source, "outcome" => outcome)
                .increment(1);
            histogram!(TOKEN_LATENCY, "account" => account, "kind" => kind, "source" => source).record(latency);
        });
    }

    /// A new access token for this account, good for so long.
    pub(crate) fn token_minted(&self, account: &str, expires_in: Duration) {
        let mut expiries = self.0.expiries.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever says how long a token lives may say anything.
        match Instant::now().checked_add(expires_in) {
            Some(expiry) => expiries.insert(account.to_owned(), expiry),
            None => expiries.remove(account),
        };
    }

    /// A TLS handshake that came to this end.
    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        with_local_recorder(&self.0.recorder, || counter!(TLS_HANDSHAKES, "outcome" => outcome).increment(1));
    }

    /// Certificates that changed, for the better or not.
    pub(crate) fn tls_reload(&self, good: bool) {
        let outcome = if good { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(TLS_RELOADS, "outcome" => outcome).increment(1));
    }

    /// Credentials that changed, for the better or not.
    #[cfg(feature = "live")]
    pub(crate) fn credential_reload(&self, good: bool) {
        let outcome = if good { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(CREDENTIAL_RELOADS, "outcome" => outcome).increment(1));
    }

    /// Guest attributes that were written to their file, or could not be.
    pub(crate) fn guest_attributes_saved(&self, good: bool) {
        let outcome = if good { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(GUEST_ATTRIBUTES_SAVES, "outcome" => outcome).increment(1));
    }

    /// Whether the token source answered any account when that last asked, or none has asked yet. One that fails must not
    /// cost the others a server that works for them.
    pub(crate) fn tokens_are_well(&self) -> bool {
        let unavailable = self.0.unavailable.lock().unwrap_or_else(PoisonError::into_inner);
        unavailable.is_empty() || unavailable.values().any(|it| !it)
    }

    /// Whether the token source failed this account when it was last asked.
    pub(crate) fn is_unavailable(&self, account: &str) -> bool {
        let unavailable = self.0.unavailable.lock().unwrap_or_else(PoisonError::into_inner);
        unavailable.get(account).copied().unwrap_or_default()
    }

    /// Everything that was counted, and the state at this moment.
    pub(crate) fn render(&self, state: &State) -> String {
        let expiries = self.0.expiries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.counted() + &state.render(&expiries)
    }

    pub(crate) fn counted(&self) -> String {
        self.0.recorder.handle().render()
    }

    /// Moves recorded samples into their buckets every few seconds; between rare scrapes they would pile up.
    pub(crate) async fn keep_up(&self) {
        let mut every = tokio::time::interval(UPKEEP);
        loop {
            every.tick().await;
            self.0.recorder.handle().run_upkeep();
        }
    }

    fn count(&self, path: &str, status: http::StatusCode, latency: Duration) {
        let code = status.as_u16();
        {
            let endpoints = self.0.endpoints.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(endpoint) = endpoints.get(path)
                && let Some((_, requests)) = endpoint.requests.iter().find(|(known, _)| *known == code)
            {
                endpoint.latency.record(latency);
                requests.increment(1);
                return;
            }
        }
        let mut endpoints = self.0.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        with_local_recorder(&self.0.recorder, || {
            let endpoint = endpoints.entry(path.into()).or_insert_with(|| Endpoint {
                latency: histogram!(LATENCY, "path" => path.to_owned()),
                requests: Vec::new(),
            });
            let reason = status.canonical_reason().unwrap_or("Unknown");
            let requests = counter!(REQUESTS, "code" => reason, "path" => path.to_owned());
            requests.increment(1);
            endpoint.latency.record(latency);
            endpoint.requests.push((code, requests));
        });
    }
}

/// A path that names something is a label, in the one way it is rightly written. There are as many as there are nodes.
impl Record for Metrics {
    fn record(&self, answered: &Answered<'_>) {
        let path = answered.path.as_str();
        match answered.matched {
            Some(MatchedPath::AsRequested) => self.count(path, answered.status, answered.latency),
            Some(MatchedPath::WithoutSlash) => self.count(&format!("{path}/"), answered.status, answered.latency),
            Some(MatchedPath::Below(directory)) => self.count(directory, answered.status, answered.latency),
            _ => self.count(UNMATCHED, answered.status, answered.latency),
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absurd_expiry_is_no_reason_to_panic() {
        let metrics = Metrics::new();
        metrics.token_minted("a@example.com", Duration::from_secs(3600));
        metrics.token_minted("a@example.com", Duration::MAX);
        assert!(metrics.0.expiries.lock().unwrap().is_empty());
    }
}
