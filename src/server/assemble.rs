//! The third step of a start: starts threads and background tasks, and writes the files that a server replaces.

use super::advice::Advice;
use super::start::Loaded;
use super::start_error::StartError;
use super::threads::ConnectionThreads;
use super::tls::{self, MdsClientCertificate, MtlsOptions, Opened, Tls};
use super::{Lifecycle, Running};
use crate::blocking::blocking;
use crate::metrics::{Metrics, Pages};
use crate::vm::{Vm, VmTasks};
use gce_metadata_layers::{AllowedHosts, AllowedPeers};
use std::num::NonZeroUsize;

/// All parts of a server except its sockets. Dropping it ends the tasks that have been started.
pub(super) struct Assembled {
    pub(super) vm: Vm,
    pub(super) tasks: VmTasks,
    pub(super) https: Option<Https>,
    pub(super) threads: ConnectionThreads,
    pub(super) running: Running,
    pub(super) hosts: AllowedHosts,
    pub(super) metrics: Option<(Metrics, Pages)>,
    pub(super) advice: Advice,
}

/// The certificates of the HTTPS listener, and the clients that it admits.
pub(super) struct Https {
    pub(super) tls: Tls,
    pub(super) allowed: AllowedPeers,
}

pub(super) async fn assemble(
    loaded: Loaded,
    mtls: Option<MtlsOptions>,
    threads: Option<NonZeroUsize>,
) -> Result<Assembled, StartError> {
    let Loaded { vm, hosts, metrics, advice } = loaded;
    let running = Running::default();
    let threads = match threads {
        Some(count) => ConnectionThreads::start(count, &running.lifecycle.tasks).map_err(StartError::Threads)?,
        None => ConnectionThreads::current(&running.lifecycle.tasks),
    };
    let (vm, tasks) = vm.open().await?;
    let (vm, https) = match mtls {
        // The last step that can fail, because another server may be using the certificates that it replaces.
        Some(options) => {
            let recorder = metrics.as_ref().map(|(metrics, _)| metrics.clone());
            let opened = open_https(options, vm.clone(), recorder, &running.lifecycle).await;
            let (vm, https) = opened.inspect_err(|_| vm.remove_new_files())?;
            (vm, Some(https))
        }
        None => (vm, None),
    };
    Ok(Assembled { vm, tasks, https, threads, running, hosts, metrics, advice })
}

/// Opens the certificates, starts the task that renews them, and adds the route that serves the client's.
async fn open_https(
    options: MtlsOptions,
    mut vm: Vm,
    metrics: Option<Metrics>,
    lifecycle: &Lifecycle,
) -> Result<(Vm, Https), StartError> {
    let MtlsOptions { certificates, allowed } = options;
    let reader = vm.reader();
    let opened = blocking(move || tls::open(certificates, reader, metrics)).await.map_err(StartError::Blocking)??;
    let Opened { tls, keep_fresh, mds_client_certificate } = opened;
    if let Some((path, endpoint)) = mds_client_certificate.map(MdsClientCertificate::route) {
        vm = vm.with_route(path, endpoint)?;
    }
    lifecycle.spawn(keep_fresh);
    Ok((vm, Https { tls, allowed }))
}
