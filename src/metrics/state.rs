//! Gauges, which are read from the state of a server at each scrape.

use super::tokens;
use crate::reload::ReloadCounts;
use crate::server::OpenConnections;
use crate::vm::Vm;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_layers::Waiters;
use gce_metadata_routes::Reader;
use gce_metadata_tokens::SourceInfo;
use metrics::{counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The parts of a server whose state becomes gauges.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) reader: Reader,
    pub(crate) waiters: Waiters,
    pub(crate) connections: OpenConnections,
    pub(crate) reloads: Arc<ReloadCounts>,
    pub(crate) info: SourceInfo,
}

impl State {
    /// The state of a server that plays this machine.
    pub(crate) fn new(vm: &Vm, waiters: Waiters, connections: OpenConnections) -> Self {
        let (reader, reloads, info) = (vm.reader(), Arc::clone(&vm.reloads), vm.source.clone());
        Self { reader, waiters, connections, reloads, info }
    }

    /// The gauges in Prometheus' text format. Each scrape has a recorder of its own, so that no label outlives it.
    pub(super) fn render(&self, expiries: &HashMap<String, Instant>) -> String {
        let recorder = PrometheusBuilder::new().build_recorder();
        with_local_recorder(&recorder, || {
            self.record_identity();
            self.record_counts();
            describe_gauge!(
                "metadata_token_expiry_seconds",
                "Seconds until the current access token of an account expires."
            );
            let (now, snapshot) = (Instant::now(), self.reader.snapshot());
            for (account, expiry) in
                expiries.iter().filter(|(account, _)| tokens::has_account(snapshot.tree(), account))
            {
                let left = expiry.saturating_duration_since(now).as_secs_f64();
                gauge!("metadata_token_expiry_seconds", "account" => account.clone()).set(left);
            }
            let process = metrics_process::Collector::default();
            process.describe();
            process.collect();
        });
        recorder.handle().render()
    }

    /// The Go emulator's metrics whose value is always 1: the label has the information.
    fn record_identity(&self) {
        describe_gauge!("metadata_server_version", "The running version of the metadata server.");
        gauge!("metadata_server_version", "version" => concat!("v", env!("CARGO_PKG_VERSION"))).set(1);
        describe_gauge!("credential_type", "The kind of credentials that tokens are made with.");
        gauge!("credential_type", "type" => self.info.credential_type()).set(1);
        describe_gauge!("service_account_hash", "SHA-256 of the public key that belongs to the signing key, in DER.");
        if let Some(hash) = self.info.spki_sha256() {
            gauge!("service_account_hash", "fingerprint" => BASE64_STANDARD.encode(hash)).set(1);
        }
        describe_gauge!("service_account_name", "The e-mail of the default service account.");
        if let Some(account) = self.reader.snapshot().tree().service_account("default") {
            gauge!("service_account_name", "email" => account.email.clone()).set(1);
        }
    }

    fn record_counts(&self) {
        describe_counter!(
            "metadata_reloads_total",
            "Changes of the config file, partitioned by whether they were taken over."
        );
        counter!("metadata_reloads_total", "outcome" => "good").absolute(self.reloads.good());
        counter!("metadata_reloads_total", "outcome" => "bad").absolute(self.reloads.bad());
        describe_gauge!("metadata_snapshot_generation", "How often the metadata has changed since the start.");
        gauge!("metadata_snapshot_generation").set(as_f64(self.reader.snapshot().generation()));
        describe_gauge!("metadata_waiters", "Requests that wait for a change now.");
        gauge!("metadata_waiters").set(as_f64(self.waiters.count() as u64));
        describe_gauge!("metadata_connections", "Connections that are open now.");
        gauge!("metadata_connections").set(as_f64(self.connections.count() as u64));
        describe_counter!("metadata_token_cache_hits_total", "Tokens of either kind that were served from the cache.");
        counter!("metadata_token_cache_hits_total").absolute(self.info.cache_hits());
    }
}

/// Counts are far below 2^53, up to which this is exact.
#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
