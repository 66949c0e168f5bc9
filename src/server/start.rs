//! From settings to a running server: load, bind, assemble, run. Everything is read, checked and bound before anything is
//! written, and nothing is served before all of that has succeeded.

use super::advice::TokenAdvice;
use super::bind::Sockets;
use super::builder::{MetricsOptions, ServerBuilder};
use super::connection::{self, ConnectionLimits};
use super::open_connections::OpenConnections;
use super::start_error::StartError;
use super::threads::{ConnectionThreads, on_own_thread};
use super::tls::{self, MdsClientCertificate, MtlsOptions, Opened};
use super::{Lifecycle, Running, Server};
use crate::blocking::blocking;
use crate::hosts;
use crate::metrics::{Metrics, Monitored, Pages, State};
use crate::stack::SharedRecord;
use crate::vm::{LoadedVm, Monitoring};
use gce_metadata_layers::{AllowedPeers, Waiters};
use tokio::runtime::Handle;

/// Connections to the metrics listener at a time.
const METRICS_CONNECTIONS: usize = 64;

impl ServerBuilder {
    /// Starts the server: everything is checked, the sockets are bound, and requests are served. The calling thread is not
    /// blocked: files are read, and a TPM is opened, on another one.
    ///
    /// The server has a thread of its own, and needs no runtime of the caller's to make progress, unless
    /// [`on_current_runtime`](Self::on_current_runtime) is set.
    ///
    /// # Errors
    /// If the config, the key, a certificate, a route, a socket or a thread can't be had. Nothing runs then.
    pub async fn start(self) -> Result<Server, StartError> {
        if self.runs_on_current {
            return self.start_here().await;
        }
        on_own_thread(self).await
    }

    /// Starts the server as [`start`](Self::start) does, from a thread that may block and has no runtime, such as that of a plain
    /// `#[test]`.
    ///
    /// # Errors
    /// As for [`start`](Self::start). With [`on_current_runtime`](Self::on_current_runtime) there is no runtime to run in, so
    /// that setting is ignored.
    pub fn start_blocking(self) -> Result<Server, StartError> {
        on_own_thread(self).blocking_wait()
    }

    /// Runs the server in the current runtime.
    pub(super) async fn start_here(mut self) -> Result<Server, StartError> {
        let hosts = hosts::allowed_with(&self.hosts, self.vm.tokens.issuer())?;
        let token_advice = TokenAdvice::new(&self.vm.tokens, &self.vm.served);
        let doubt = self.vm.overrides.warning();
        let path_is_taken = |options: &MetricsOptions| StartError::MetricsPath { path: options.path.clone() };
        let pages =
            self.metrics.as_ref().map(|it| Pages::new(&it.path).ok_or_else(|| path_is_taken(it))).transpose()?;
        // Without a metrics listener nothing is counted.
        let metrics = pages.is_some().then(Metrics::new);
        let (https_place, https) = self.mtls.take().unzip();

        // Load: reads only. It may block, on a disk or on a TPM.
        let (settings, listed) = (self.vm, https.as_ref().and_then(MtlsOptions::listed));
        let monitoring = metrics.clone().map_or_else(Monitoring::default, Monitoring::from);
        let runtime = Handle::current();
        let load = move || {
            let _context = runtime.enter();
            LoadedVm::load(settings, monitoring, listed)
        };
        let loaded = blocking(load).await.map_err(StartError::Blocking)??;
        let (reader, advice) = (loaded.reader(), loaded.advice());

        // Bind.
        let sockets = Sockets::bind(self.place, https_place.flatten(), self.metrics.as_ref()).await?;

        // Assemble: threads and files. An error drops the lifecycle's guard, which ends the tasks that have been started.
        let running = Running::default();
        let lifecycle = &running.lifecycle;
        let threads = match self.threads {
            Some(count) => ConnectionThreads::start(count, &lifecycle.tasks).map_err(StartError::Threads)?,
            None => ConnectionThreads::current(&lifecycle.tasks),
        };
        let (mut vm, tasks) = loaded.open().await?;
        // The last that can fail: another server may be using the certificates that this replaces.
        let (tls, peers) = match https {
            None => (None, AllowedPeers::everybody()),
            Some(MtlsOptions { certificates, allowed }) => {
                let (reader, metrics) = (reader.clone(), metrics.clone());
                let opened = blocking(move || tls::open(certificates, reader, metrics)).await;
                let opened = opened.map_err(StartError::Blocking).and_then(|opened| Ok(opened?));
                let Opened { tls, keep_fresh, mds_client_certificate } =
                    opened.inspect_err(|_| vm.guest_attributes.iter().for_each(|keeper| keeper.remove_if_new()))?;
                lifecycle.spawn(keep_fresh);
                if let Some((path, endpoint)) = mds_client_certificate.map(MdsClientCertificate::route) {
                    vm = vm.with_route(path, endpoint)?;
                }
                (Some(tls), allowed)
            }
        };

        // Run.
        let connections = OpenConnections::at_most(self.most_connections);
        let limits = |connections: &OpenConnections| ConnectionLimits {
            connections: connections.clone(),
            header_bytes: Self::HEADER_BYTES,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        };
        let max_waiters = self.most_waiters.min(connections.max_waiters());
        if max_waiters < self.most_waiters {
            tracing::info!(max_waiters, "requests that wait for a change may use three quarters of the connections");
        }
        let waiters = Waiters::at_most(max_waiters);
        let stack = vm
            .stack()
            .until(lifecycle.stop.clone())
            .waiters(waiters.clone())
            .record(metrics.clone().map(SharedRecord::new))
            .hosts(hosts)
            .own_layers(self.own_layers);
        let is_encrypted = tls.is_some();
        let (address, tls_address) = match &sockets.tls {
            Some(beside) => (sockets.main.address.clone(), Some(beside.address.clone())),
            None => (sockets.main.address.clone(), is_encrypted.then(|| sockets.main.address.clone())),
        };
        let (plain, encrypted) = match sockets.tls {
            None if is_encrypted => (None, Some(sockets.main)),
            beside => (Some(sockets.main), beside),
        };
        if let Some(socket) = encrypted {
            let service = stack.clone().peers(peers).service();
            connection::spawn(socket.listener, tls, service, limits(&connections), threads.for_tls(), lifecycle);
        }
        if let Some(socket) = plain {
            token_advice.log_exposure(&address);
            let service = stack.service();
            connection::spawn(socket.listener, None, service, limits(&connections), threads, lifecycle);
        }
        let metrics_address = sockets.metrics.as_ref().map(|socket| socket.address.clone());
        if let Some(((socket, pages), metrics)) = sockets.metrics.zip(pages).zip(metrics) {
            let service = pages.service(Monitored {
                metrics: metrics.clone(),
                state: State::new(&vm, waiters, connections),
                guest_attributes: vm.guest_attributes.clone(),
                stop: lifecycle.stop.clone(),
            });
            let (here, limits) = (
                ConnectionThreads::current(&running.watching.tasks),
                limits(&OpenConnections::at_most(METRICS_CONNECTIONS)),
            );
            connection::spawn(socket.listener, None, service, limits, here, &running.watching);
            running.watching.spawn(async move { metrics.run_upkeep().await });
        }
        if let Some(doubt) = doubt {
            tracing::warn!("{doubt}");
        }
        token_advice.log(advice);
        let Lifecycle { stop, abort, tasks: tracker } = lifecycle.clone();
        tracker.spawn(async move { abort.run_until_cancelled(tasks.run(stop)).await });
        Ok(Server { address, metrics_address, tls_address, vm, running, drain: self.drain })
    }
}
