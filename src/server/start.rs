//! Starts a server in four steps: load, bind, assemble, run.
//!
//! Everything is read, checked and bound before anything is written, and requests are served only after all of that has succeeded.

use super::Server;
use super::advice::Advice;
use super::assemble::assemble;
use super::bind::{Addresses, Bound, Sockets};
use super::builder::ServerBuilder;
use super::readiness::StartReadiness;
use super::run::{OptionalLayers, run};
use super::start_error::StartError;
use super::threads::on_own_thread;
use super::tls::MtlsOptions;
use crate::admin::{AdminOptions, Security};
use crate::blocking::blocking;
use crate::events::ReportTokens;
use crate::hosts;
use crate::metrics::{Metrics, Pages};
use crate::vm::{LoadedVm, Monitoring, VmBuilder};
use gce_metadata_layers::AllowedHosts;
use std::sync::Arc;
use tokio::runtime::Handle;

impl ServerBuilder {
    /// Starts the server: checks the settings, binds the sockets, and serves requests. The calling thread is not blocked: files
    /// are read, host names resolved, and a TPM is opened on other threads.
    ///
    /// The server runs on its own thread, even while the caller's runtime is blocked, unless
    /// [`on_current_runtime`](Self::on_current_runtime) is set.
    ///
    /// # Errors
    /// If the config, the credentials, a certificate, a route, an address or a thread can't be used. Nothing runs then.
    pub async fn start(self) -> Result<Server, StartError> {
        if self.runs_on_current {
            return self.start_here().await;
        }
        on_own_thread(self).await
    }

    /// Starts the server as [`start`](Self::start) does, and blocks the calling thread meanwhile: for callers without a runtime,
    /// such as a plain `#[test]`. [`on_current_runtime`](Self::on_current_runtime) is ignored.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    ///
    /// # Panics
    /// In async code, which must not block.
    pub fn start_blocking(self) -> Result<Server, StartError> {
        on_own_thread(self).blocking_wait()
    }

    /// Runs the server in the current runtime.
    pub(super) async fn start_here(self) -> Result<Server, StartError> {
        let (events, readiness) = (self.events(), self.start_readiness());
        let simulates = self.has_simulation();
        let vm = VmBuilder { has_switches: self.admin.is_some(), events, has_faults: simulates, ..self.vm };
        let mut loaded = load(vm, &self.hosts, self.mtls.as_ref(), self.metrics_path.as_deref()).await?;
        if self.expects_offline_tokens {
            loaded.advice = loaded.advice.expecting_offline_tokens();
        }
        let layers = OptionalLayers {
            own: self.own_layers,
            record: self.record,
            answers_proxy_requests: self.answers_proxy_requests,
            keeps_journal: self.journal_entries > 0,
            has_delays: simulates,
            readiness,
        };
        let (addresses, security) = with_admin(self.addresses, self.admin)?;
        let mut sockets = Sockets::bind(addresses).await?;
        if readiness.is_some_and(StartReadiness::refuses) {
            sockets.refuse()?;
        }
        let admin = check_admin(security, sockets.admin.as_ref())?;
        let assembled = assemble(loaded, self.mtls, self.threads).await?;
        Ok(run(assembled, sockets, self.limits, layers, admin, self.drain))
    }
}

/// Adds the address of the admin listener, and returns its checks of requests.
fn with_admin(addresses: Addresses, admin: Option<AdminOptions>) -> Result<(Addresses, Option<Security>), StartError> {
    let Some(options) = admin else { return Ok((addresses, None)) };
    let (place, security) = options.checked()?;
    Ok((Addresses { admin: Some(place), ..addresses }, Some(security)))
}

/// Refuses an admin listener without a token that other machines can reach.
fn check_admin(security: Option<Security>, bound: Option<&Bound>) -> Result<Option<Security>, StartError> {
    let address = bound.and_then(|bound| bound.address.socket_addr());
    match (&security, address) {
        (Some(Security { token: None, .. }), Some(address)) if !address.ip().is_loopback() => {
            Err(StartError::AdminExposed { address: address.to_string() })
        }
        _ => Ok(security),
    }
}

/// Everything that a start reads, checked.
pub(super) struct Loaded {
    pub(super) vm: LoadedVm,
    pub(super) hosts: AllowedHosts,
    /// `None` without a metrics listener: nothing is counted then.
    pub(super) metrics: Option<(Metrics, Pages)>,
    pub(super) advice: Advice,
}

/// Reads and checks everything but certificates.
async fn load(
    settings: VmBuilder,
    hosts: &[String],
    mtls: Option<&MtlsOptions>,
    metrics_path: Option<&str>,
) -> Result<Loaded, StartError> {
    let hosts = hosts::allowed_with(hosts, settings.tokens.issuer())?;
    let advice = Advice::new(&settings);
    let metrics = match metrics_path {
        Some(path) => {
            let pages = Pages::new(path).ok_or_else(|| StartError::MetricsPath { path: path.to_owned() })?;
            Some((Metrics::new(), pages))
        }
        None => None,
    };
    let mut monitoring = metrics.as_ref().map_or_else(Monitoring::default, |(metrics, _)| metrics.clone().into());
    if settings.events.log().is_some() {
        monitoring.tokens = Arc::new(ReportTokens::new(settings.events.clone(), monitoring.tokens));
    }
    let (runtime, computed) = (Handle::current(), mtls.and_then(MtlsOptions::computed_path));
    // A disk or a TPM may block.
    let load = move || {
        let _context = runtime.enter();
        LoadedVm::load(settings, monitoring, computed)
    };
    let vm = blocking(load).await.map_err(StartError::Blocking)??;
    let advice = advice.with_source(vm.advice());
    Ok(Loaded { vm, hosts, metrics, advice })
}
