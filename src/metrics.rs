//! The metrics of a server, in Prometheus' text format.
//!
//! The first six metrics have the names, types and labels of the Go emulator's. Each server has its own recorder, so that servers of
//! one process are counted separately. Counters and histograms are updated by events. Gauges (the generation, waiting requests, the
//! signing key) are read at each scrape, so that no gauge is stale, and a series ends when its account or key does.

mod listener;
mod state;
mod tokens;

pub(crate) use listener::{Monitored, Pages};
pub(crate) use state::State;
pub(crate) use tokens::{has_account, outcome_label};

use crate::guest_attributes::SaveEvents;
use crate::vm::Monitoring;
use gce_metadata_layers::{Answered, PathLabel, Record};
use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_histogram, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

const LATENCY: &str = "metadata_endpoint_latency_seconds";
const REQUESTS: &str = "metadata_endpoint_path_requests";

/// The default buckets of Prometheus' Go client, in seconds.
const BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

const TLS_HANDSHAKES: &str = "metadata_tls_handshakes_total";
const TLS_RELOADS: &str = "metadata_tls_reloads_total";
const GUEST_ATTRIBUTES_SAVES: &str = "metadata_guest_attributes_saves_total";

/// Interval between two calls of the recorder's upkeep.
const UPKEEP: Duration = Duration::from_secs(5);

/// The label of requests without a [`PathLabel`], such as those for paths that do not exist.
const UNMATCHED: &str = "unmatched";

/// The metrics of one server. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    recorder: PrometheusRecorder,
    paths: RwLock<HashMap<Box<str>, PathSeries>>,
    token_expiries: tokens::TokenExpiries,
}

/// The series of one path, as registered handles: these are six times as fast as a lookup by labels.
struct PathSeries {
    latency: Histogram,
    requests: Vec<(u16, Counter)>,
}

impl Metrics {
    #[expect(clippy::expect_used, reason = "the buckets are constants")]
    pub(crate) fn new() -> Self {
        let builder = [LATENCY, tokens::REQUEST_LATENCY, tokens::FETCH_LATENCY].into_iter().fold(
            PrometheusBuilder::new(),
            |builder, name| {
                // The exporter renders a histogram without buckets as a summary.
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &BUCKETS).expect("the list is not empty")
            },
        );
        let recorder = builder.build_recorder();
        with_local_recorder(&recorder, || {
            describe_histogram!(LATENCY, Unit::Seconds, "Duration of HTTP requests, long polls included.");
            describe_counter!(REQUESTS, "Requests, partitioned by status code and path.");
            tokens::describe();
            describe_counter!(TLS_HANDSHAKES, "TLS handshakes, partitioned by outcome.");
            describe_counter!(TLS_RELOADS, "Changes of certificate files, partitioned by whether they were loaded.");
            describe_counter!(
                GUEST_ATTRIBUTES_SAVES,
                "Saves of guest attributes to their file, partitioned by whether they succeeded."
            );
        });
        let token_expiries = tokens::TokenExpiries::default();
        Self(Arc::new(Inner { recorder, paths: RwLock::default(), token_expiries }))
    }

    /// Counts a TLS handshake with this outcome.
    pub(crate) fn tls_handshake(&self, outcome: &'static str) {
        with_local_recorder(&self.0.recorder, || counter!(TLS_HANDSHAKES, "outcome" => outcome).increment(1));
    }

    /// Counts a reload of certificates, by whether it succeeded.
    pub(crate) fn tls_reload(&self, good: bool) {
        let outcome = if good { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(TLS_RELOADS, "outcome" => outcome).increment(1));
    }

    /// All metrics in Prometheus' text format: counters, histograms, and gauges of the current state.
    pub(crate) fn render(&self, state: &State) -> String {
        self.render_recorded() + &state.render(&self.0.token_expiries.get())
    }

    /// Counters and histograms in Prometheus' text format.
    pub(crate) fn render_recorded(&self) -> String {
        self.0.recorder.handle().render()
    }

    /// Moves recorded samples into their buckets every few seconds; otherwise they would accumulate until the next scrape.
    pub(crate) async fn run_upkeep(&self) {
        let mut every = tokio::time::interval(UPKEEP);
        loop {
            every.tick().await;
            self.0.recorder.handle().run_upkeep();
        }
    }

    /// Counts and times a request.
    fn record_request(&self, path: &str, status: http::StatusCode, latency: Duration) {
        let code = status.as_u16();
        {
            let paths = self.0.paths.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(series) = paths.get(path)
                && let Some((_, requests)) = series.requests.iter().find(|(known, _)| *known == code)
            {
                series.latency.record(latency);
                requests.increment(1);
                return;
            }
        }
        let mut paths = self.0.paths.write().unwrap_or_else(PoisonError::into_inner);
        with_local_recorder(&self.0.recorder, || {
            let series = paths.entry(path.into()).or_insert_with(|| PathSeries {
                latency: histogram!(LATENCY, "path" => path.to_owned()),
                requests: Vec::new(),
            });
            let reason = status.canonical_reason().unwrap_or("Unknown");
            let requests = counter!(REQUESTS, "code" => reason, "path" => path.to_owned());
            requests.increment(1);
            series.latency.record(latency);
            series.requests.push((code, requests));
        });
    }
}

/// Only existing paths become labels, in their canonical spelling, so the number of labels is bounded by the number of nodes.
impl Record for Metrics {
    fn record(&self, answered: &Answered<'_>) {
        let path = answered.path.as_str();
        match answered.label {
            Some(PathLabel::AsRequested) => self.record_request(path, answered.status, answered.latency),
            Some(PathLabel::WithoutSlash) => {
                self.record_request(&format!("{path}/"), answered.status, answered.latency)
            }
            Some(PathLabel::Below(directory)) => self.record_request(directory, answered.status, answered.latency),
            _ => self.record_request(UNMATCHED, answered.status, answered.latency),
        }
    }
}

impl SaveEvents for Metrics {
    fn saved(&self, ok: bool) {
        let outcome = if ok { "good" } else { "bad" };
        with_local_recorder(&self.0.recorder, || counter!(GUEST_ATTRIBUTES_SAVES, "outcome" => outcome).increment(1));
    }
}

impl From<Metrics> for Monitoring {
    fn from(metrics: Metrics) -> Self {
        Self { tokens: Arc::new(metrics.clone()), saves: Arc::new(metrics) }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
