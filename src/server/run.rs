//! The last step of a start: serves requests on the bound sockets, and runs the background tasks. It can't fail.

use super::assemble::{Assembled, Https};
use super::bind::Sockets;
use super::body::IncomingBody;
use super::builder::{Limits, ServerBuilder};
use super::connection::{self, ConnectionLimits};
use super::entrance::Entrance;
use super::environment;
use super::listener::Listener;
use super::open_connections::OpenConnections;
use super::readiness::{StartReadiness, Switcher};
use super::threads::ConnectionThreads;
use super::{Lifecycle, Server};
use crate::admin::{self, Admin, Security};
use crate::events::Waits;
use crate::journal::Journal;
use crate::metrics::{Monitored, Pages, State};
use crate::readiness_check::ReadinessCheck;
use crate::scenarios::{Ports, Scenarios};
use crate::simulation::{self, SimulationControl};
use crate::stack::{OwnLayers, SharedRecord};
use crate::vm::VmTasks;
use bytes::Bytes;
use gce_metadata_layers::{
    AnswerProxyRequestsLayer, DelayAnswersLayer, InjectFaultsLayer, RecordRequestsLayer, SimulateOutageLayer, Waiters,
};
use http_body_util::Full;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Maximum number of connections of the metrics listener.
const METRICS_CONNECTIONS: usize = 64;

/// Maximum number of connections of the admin listener.
const ADMIN_CONNECTIONS: usize = 64;

/// The layers of the stack that the builder chooses.
pub(super) struct OptionalLayers {
    pub(super) own: Option<OwnLayers<IncomingBody, Full<Bytes>>>,
    pub(super) record: Option<SharedRecord>,
    pub(super) answers_proxy_requests: bool,
    pub(super) keeps_journal: bool,
    pub(super) has_delays: bool,
    /// `None` if the server is always ready.
    pub(super) readiness: Option<StartReadiness>,
    /// `None` without a simulation at the start.
    pub(super) simulation: Option<simulation::Loaded>,
}

pub(super) fn run(
    assembled: Assembled,
    sockets: Sockets,
    limits: Limits,
    layers: OptionalLayers,
    admin: Option<Security>,
    drain: Duration,
) -> Server {
    let Assembled { vm, tasks, https, threads, running, hosts, metrics, advice } = assembled;
    let lifecycle = &running.lifecycle;
    let connections = OpenConnections::at_most(limits.max_connections);
    let waits = Waits::new(vm.events().clone());
    let mut waiters = limits.waiters(&connections);
    if vm.events().log().is_some() {
        waiters = waiters.record(Arc::new(waits.clone()));
    }
    let counted = metrics.as_ref().map(|(metrics, _)| SharedRecord::new(metrics.clone()));
    let record = match counted {
        Some(counted) => Some(counted.and(layers.record)),
        None => layers.record,
    };
    let own_address = sockets.main.address.socket_addr().filter(|_| layers.answers_proxy_requests);
    let log = vm.events().log().cloned();
    let journal = log.clone().filter(|_| layers.keeps_journal).map(|log| Journal::new(log, vm.reader()));
    let record_requests = |journal| RecordRequestsLayer::new(journal).capture_bodies(IncomingBody::capture);
    let stop = lifecycle.stop.clone();
    let (mut switcher, readiness) = layers.readiness.map(Switcher::new).unzip();
    let outage = switcher.as_ref().map(|switcher| SimulateOutageLayer::new(switcher.outage()).until(stop.clone()));
    let scenarios = vm.faults().map(|faults| {
        let (scenarios, driver) = Scenarios::new(Ports {
            publisher: vm.publisher().clone(),
            faults: Arc::new(faults.clone()),
            readiness: readiness.clone(),
            journal: journal.clone(),
            events: vm.events().clone(),
        });
        lifecycle.spawn(driver.run());
        scenarios
    });
    // A server that simulates has faults, scenarios and a readiness.
    let parts = vm.faults().zip(scenarios.as_ref()).zip(readiness.as_ref());
    let simulation = layers.simulation.zip(parts).map(|(loaded, ((faults, scenarios), readiness))| {
        let (faults, scenarios, settings) = (faults.clone(), scenarios.clone(), vm.settings().clone());
        let control = SimulationControl::install(loaded, faults, scenarios, settings, readiness.clone());
        lifecycle.spawn(control.clone().follow());
        control
    });
    let delays = layers.has_delays.then(|| vm.settings().answer_delays().clone());
    let mut entrance = |listener| match &mut switcher {
        Some(switcher) => Entrance::switched(listener, switcher.listener()),
        None => Entrance::always(listener),
    };
    let stack = vm
        .stack_with_bodies()
        .until(stop.clone())
        .waiters(waiters.clone())
        .record(record)
        .journal(journal.clone().map(record_requests))
        .delays(delays.clone().map(|delays| DelayAnswersLayer::until(delays, stop.clone())))
        .outage(outage)
        .hosts(hosts)
        .faults(vm.faults().map(|faults| InjectFaultsLayer::new(faults.clone()).until(stop.clone())))
        .answer_proxy_requests(own_address.map(AnswerProxyRequestsLayer::new))
        .own_layers(layers.own);
    let address = sockets.main.address.clone();
    let shutdown_requested = CancellationToken::new();
    let readiness_check = ReadinessCheck::new(&vm, readiness.clone(), stop.clone());
    let readiness_check = readiness_check.simulation(simulation.as_ref());
    let admin_address = sockets.admin.as_ref().map(|bound| bound.address.clone());
    // A server with an admin listener has a log, a readiness and scenarios.
    let simulated = log.zip(readiness.clone()).zip(scenarios.clone());
    if let Some(((bound, security), ((log, readiness), scenarios))) = sockets.admin.zip(admin).zip(simulated) {
        let (vm, journal, shutdown) = (vm.clone(), journal.clone(), shutdown_requested.clone());
        let stop = running.monitoring.stop.clone();
        let started = Instant::now();
        let simulation = simulation.clone();
        let environment = environment::shown(&address, &bound.address, sockets.tls.is_none() && https.is_some());
        let readiness_check = readiness_check.clone();
        let admin = Admin {
            vm,
            journal,
            log,
            waits,
            readiness,
            scenarios,
            simulation,
            readiness_check,
            environment,
            started,
            shutdown,
            stop,
        };
        serve_admin(bound.listener, admin, security, &limits, &running.monitoring);
    }
    let metrics_address = sockets.metrics.as_ref().map(|bound| bound.address.clone());
    // HTTPS is served at the main address unless it has a second one.
    let (plain, encrypted) = match sockets.tls {
        None if https.is_some() => (None, Some(sockets.main)),
        beside => (Some(sockets.main), beside),
    };
    let tls_address = encrypted.as_ref().map(|bound| bound.address.clone());
    if let Some((bound, Https { tls, allowed })) = encrypted.zip(https) {
        let (service, threads) = (stack.clone().peers(allowed).service(), threads.for_tls());
        connection::spawn(entrance(bound.listener), Some(tls), service, limits.per(&connections), threads, lifecycle);
    }
    if let Some(bound) = plain {
        advice.log_exposure(&address);
        connection::spawn(
            entrance(bound.listener),
            None,
            stack.service(),
            limits.per(&connections),
            threads,
            lifecycle,
        );
    }
    if let Some((bound, (metrics, pages))) = sockets.metrics.zip(metrics) {
        let state = State::new(&vm, simulation.as_ref(), waiters, connections);
        let monitored = Monitored { metrics, state, readiness_check };
        serve_metrics(bound.listener, pages, monitored, &limits, &running.monitoring);
    }
    if let Some(switcher) = switcher {
        lifecycle.spawn(switcher.run());
    }
    advice.log();
    spawn_tasks(tasks, lifecycle);
    Server {
        address,
        metrics_address,
        tls_address,
        admin_address,
        shutdown_requested,
        vm,
        journal,
        scenarios,
        simulation,
        readiness,
        delays,
        running,
        drain,
    }
}

fn serve_admin(listener: Listener, admin: Admin, security: Security, limits: &Limits, lifecycle: &Lifecycle) {
    let limits = limits.per(&OpenConnections::at_most(ADMIN_CONNECTIONS));
    let threads = ConnectionThreads::current(&lifecycle.tasks);
    connection::spawn(Entrance::always(listener), None, admin::service(admin, security), limits, threads, lifecycle);
}

fn serve_metrics(listener: Listener, pages: Pages, monitored: Monitored, limits: &Limits, lifecycle: &Lifecycle) {
    let metrics = monitored.metrics.clone();
    let limits = limits.per(&OpenConnections::at_most(METRICS_CONNECTIONS));
    let threads = ConnectionThreads::current(&lifecycle.tasks);
    connection::spawn(Entrance::always(listener), None, pages.service(monitored), limits, threads, lifecycle);
    lifecycle.spawn(async move { metrics.run_upkeep().await });
}

/// Runs the tasks until they have ended, which they do after `stop`, or until `abort`.
fn spawn_tasks(tasks: VmTasks, lifecycle: &Lifecycle) {
    let Lifecycle { stop, abort, tasks: tracker } = lifecycle.clone();
    tracker.spawn(async move { abort.run_until_cancelled(tasks.run(stop)).await });
}

impl Limits {
    /// The limits of a listener that shares these connections.
    fn per(&self, connections: &OpenConnections) -> ConnectionLimits {
        ConnectionLimits {
            connections: connections.clone(),
            header_bytes: ServerBuilder::HEADER_BYTES,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
            busy_poll: self.busy_poll,
        }
    }

    fn waiters(&self, connections: &OpenConnections) -> Waiters {
        let max_waiters = self.max_waiters.min(connections.max_waiters());
        if max_waiters < self.max_waiters {
            tracing::info!(max_waiters, "requests that wait for a change may use three quarters of the connections");
        }
        Waiters::at_most(max_waiters)
    }
}
