//! Gauges that are read from the state of a server at each scrape.

use super::tokens;
use crate::reload::ReloadCounts;
use crate::server::OpenConnections;
use crate::simulation::SimulationControl;
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

/// The parts of a server whose state is rendered as gauges.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) reader: Reader,
    pub(crate) waiters: Waiters,
    pub(crate) connections: OpenConnections,
    pub(crate) reloads: Arc<ReloadCounts>,
    /// `None` without a simulation at the start.
    pub(crate) simulation_reloads: Option<Arc<ReloadCounts>>,
    pub(crate) info: SourceInfo,
}

impl State {
    /// The state of a server for this VM.
    pub(crate) fn new(
        vm: &Vm,
        simulation: Option<&SimulationControl>,
        waiters: Waiters,
        connections: OpenConnections,
    ) -> Self {
        let simulation_reloads = simulation.map(|simulation| Arc::clone(simulation.counts()));
        let (reader, reloads, info) = (vm.reader(), Arc::clone(&vm.reloads), vm.source.clone());
        Self { reader, waiters, connections, reloads, simulation_reloads, info }
    }

    /// The gauges in Prometheus' text format. Each scrape uses a new recorder, so that no series survives it.
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

    /// The Go emulator's metrics with the constant value 1, whose information is in the label.
    fn record_identity(&self) {
        describe_gauge!("metadata_server_version", "The running version of the metadata server.");
        gauge!("metadata_server_version", "version" => concat!("v", env!("CARGO_PKG_VERSION"))).set(1);
        describe_gauge!("credential_type", "The type of the credentials that tokens come from.");
        gauge!("credential_type", "type" => self.info.credential_type()).set(1);
        describe_gauge!("service_account_hash", "SHA-256 of the public half of the signing key, in DER.");
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
            "Reloads of the config file, partitioned by whether they succeeded."
        );
        counter!("metadata_reloads_total", "outcome" => "good").absolute(self.reloads.good());
        counter!("metadata_reloads_total", "outcome" => "bad").absolute(self.reloads.bad());
        if let Some(reloads) = &self.simulation_reloads {
            describe_counter!(
                "metadata_simulation_reloads_total",
                "Reloads of the simulation files, partitioned by whether they succeeded."
            );
            counter!("metadata_simulation_reloads_total", "outcome" => "good").absolute(reloads.good());
            counter!("metadata_simulation_reloads_total", "outcome" => "bad").absolute(reloads.bad());
        }
        describe_gauge!("metadata_snapshot_generation", "Changes of the metadata since the start.");
        gauge!("metadata_snapshot_generation").set(as_f64(self.reader.snapshot().generation()));
        describe_gauge!("metadata_waiters", "Requests that are waiting for a change.");
        gauge!("metadata_waiters").set(as_f64(self.waiters.count() as u64));
        describe_gauge!("metadata_connections", "Open connections.");
        gauge!("metadata_connections").set(as_f64(self.connections.count() as u64));
        describe_counter!("metadata_token_cache_hits_total", "Access and identity tokens served from the cache.");
        counter!("metadata_token_cache_hits_total").absolute(self.info.cache_hits());
    }
}

/// Exact, because counts are far below 2^53.
#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
