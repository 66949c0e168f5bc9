//! A running server: its addresses, its background tasks, and its shutdown.

mod advice;
mod assemble;
mod bind;
mod body;
mod builder;
mod busy_poll;
mod connection;
mod ends_with_client;
mod entrance;
mod environment;
mod listener;
mod open_connections;
mod readiness;
mod reload;
mod run;
mod socket;
mod start;
mod start_error;
mod threads;
mod tls;

pub(crate) use bind::{Place, Resolve};
pub use body::IncomingBody;
pub use builder::ServerBuilder;
pub(crate) use ends_with_client::EndsWithClient;
pub use listener::Address;
pub(crate) use open_connections::OpenConnections;
pub use readiness::{NotReady, Readiness, ReadinessError};
pub use start_error::StartError;
pub use tls::{Certificates, MdsFolder, MtlsOptions, TlsError};

use crate::answer_delay::AnswerDelays;
use crate::faults::Faults;
use crate::journal::{Journal, Requests, UnmetExpectation};
use crate::scenarios::{ScenarioBuilder, Scenarios};
use crate::simulation::SimulationControl;
use crate::vm::Vm;
use gce_metadata_routes::Publisher;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stopping server waits for the last answers of the metrics listener.
const METRICS_DRAIN: Duration = Duration::from_secs(1);

/// A metadata server that runs in this process.
///
/// It runs on its own threads, so it makes progress while the caller's thread is blocked. Several servers in one process share no
/// state. Dropping a server stops it and closes its connections at once; [`shutdown`](Self::shutdown) lets requests finish first.
///
/// ```
/// use gce_metadata_server::{Metadata, Server};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::builder().metadata(Metadata::sample()).access_token("ya29.made-up").start().await?;
/// for (name, value) in server.env() {
///     println!("export {name}={value}");
/// }
/// server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")?;
/// server.shutdown().await;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Server {
    address: Address,
    metrics_address: Option<Address>,
    tls_address: Option<Address>,
    admin_address: Option<Address>,
    shutdown_requested: CancellationToken,
    vm: Vm,
    /// `None` without a journal.
    journal: Option<Journal>,
    /// `None` without a simulation.
    scenarios: Option<Scenarios>,
    /// `None` without a simulation at the start.
    simulation: Option<SimulationControl>,
    /// `None` if the server is always ready.
    readiness: Option<Readiness>,
    /// `None` without the layer that delays answers.
    delays: Option<AnswerDelays>,
    running: Running,
    drain: Duration,
}

/// The tasks of a server. Dropping it stops them.
#[derive(Debug, Default)]
struct Running {
    lifecycle: Lifecycle,
    /// The tasks of the metrics listener, which stops last, so that `/readyz` shows that the server stops.
    monitoring: Lifecycle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.end();
        self.monitoring.end();
    }
}

/// Stops tasks in two steps.
#[derive(Debug, Clone, Default)]
struct Lifecycle {
    /// First step: accept no connection, answer waiting requests, close idle connections.
    stop: CancellationToken,
    /// Second step: close all connections.
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task until it ends or the server stops.
    fn spawn(&self, task: impl Future<Output: Send> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { _ = stop.run_until_cancelled(task).await });
    }

    /// Takes the first step, and the second one after this time. Returns whether all tasks ended before the second.
    async fn drain(&self, time: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let drained = timeout(time, self.tasks.wait()).await.is_ok();
        self.abort.cancel();
        self.tasks.wait().await;
        drained
    }

    /// Takes both steps at once.
    fn end(&self) {
        self.stop.cancel();
        self.abort.cancel();
        // The server's threads end after the last task of a closed tracker.
        self.tasks.close();
    }
}

impl Server {
    /// Returns a builder. By default the server has the sample metadata, offline tokens, and a free port of 127.0.0.1.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The address of the main listener.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address of the metrics listener; `None` without one.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics_address.as_ref()
    }

    /// The address of HTTPS with client certificates, which may be [`address`](Self::address) itself; `None` without HTTPS.
    pub fn tls_address(&self) -> Option<&Address> {
        self.tls_address.as_ref()
    }

    /// The base URL for clients on this machine, `http://HOST:PORT` or `https://HOST:PORT`; `None` for a Unix socket.
    pub fn url(&self) -> Option<String> {
        let scheme = if self.tls_address.as_ref() == Some(&self.address) { "https" } else { "http" };
        self.address.reachable().map(|address| format!("{scheme}://{address}"))
    }

    /// The address of the admin listener; `None` without one.
    pub fn admin_address(&self) -> Option<&Address> {
        self.admin_address.as_ref()
    }

    /// The URL of the admin listener for clients on this machine: `http://HOST:PORT`, or `unix:` and the absolute path of the
    /// socket, since clients may have another working directory; `None` without one.
    pub fn admin_url(&self) -> Option<String> {
        environment::admin_url(self.admin_address.as_ref()?)
    }

    /// Waits until a client of the admin API asks for a shutdown. The caller decides what to do.
    pub async fn shutdown_requested(&self) {
        self.shutdown_requested.cancelled().await;
    }

    /// The requests that this server has received.
    ///
    /// # Panics
    /// If the server keeps no journal: start it with [`simulate`](ServerBuilder::simulate) or [`admin`](ServerBuilder::admin).
    pub fn requests(&self) -> Requests {
        match &self.journal {
            Some(journal) => Requests::new(journal.clone()),
            // An empty list would let an assertion about absent requests pass.
            None => panic!("this server keeps no journal of requests: start it with `ServerBuilder::simulate`"),
        }
    }

    /// A scenario of this name, to be run: one of the built-in ones of `docs/scenarios.md`, or one that the admin API has added.
    ///
    /// ```
    /// use gce_metadata_server::Server;
    /// use std::time::Duration;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().simulate().start().await?;
    /// let run = server.scenario("preemption").manual().run().await?;
    /// // Here the program under test reads TRUE in `instance/preempted`.
    /// run.advance(Duration::from_secs(30)).await?;
    /// assert_eq!(run.state(), "Off");
    /// run.stop().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If the server does not simulate: see [`scenarios`](Self::scenarios).
    pub fn scenario(&self, name: impl Into<String>) -> ScenarioBuilder {
        ScenarioBuilder::new(self.scenarios().clone(), name)
    }

    /// The scenarios of this server, and the events of their runs.
    ///
    /// # Panics
    /// If the server does not simulate: start it with [`simulate`](ServerBuilder::simulate) or [`admin`](ServerBuilder::admin).
    pub fn scenarios(&self) -> &Scenarios {
        match &self.scenarios {
            Some(scenarios) => scenarios,
            None => panic!("this server runs no scenarios: start it with `ServerBuilder::simulate`"),
        }
    }

    /// The faults of this server.
    ///
    /// # Panics
    /// If no faults can be injected: start the server with [`simulate`](ServerBuilder::simulate) or [`admin`](ServerBuilder::admin).
    pub fn faults(&self) -> &Faults {
        match self.vm.faults() {
            Some(faults) => faults,
            None => panic!("this server injects no faults: start it with `ServerBuilder::simulate`"),
        }
    }

    /// Verifies the expectations of [`MatchingRequests::expect`](crate::MatchingRequests::expect) and of
    /// [`Fault::expect`](crate::Fault::expect).
    ///
    /// # Errors
    /// If an expectation does not hold. The error prints what was asked instead.
    pub fn verify(&self) -> Result<(), UnmetExpectation> {
        UnmetExpectation::verify(self.journal.as_ref(), self.vm.faults())
    }

    /// The readiness of this server, which makes it refuse its clients, answer 503 or hang, and then serve them again.
    ///
    /// ```
    /// use gce_metadata_server::{NotReady, Server};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().simulate().start().await?;
    /// server.readiness().set_not_ready(NotReady::Refuse).await?;
    /// let address = server.address().reachable().ok_or("no TCP")?;
    /// assert!(std::net::TcpStream::connect(address).is_err());
    /// server.readiness().set_ready().await?;
    /// assert!(std::net::TcpStream::connect(address).is_ok());
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If the server is always ready: start it with [`simulate`](ServerBuilder::simulate), [`admin`](ServerBuilder::admin) or
    /// [`ready_after`](ServerBuilder::ready_after).
    pub fn readiness(&self) -> &Readiness {
        match &self.readiness {
            Some(readiness) => readiness,
            None => panic!("this server is always ready: start it with `ServerBuilder::simulate`"),
        }
    }

    /// The delay of every answer of this server.
    ///
    /// ```
    /// use gce_metadata_server::{AnswerDelay, Server};
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().simulate().start_blocking()?;
    /// server.answer_delays().set(AnswerDelay::fixed(Duration::from_millis(500)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Panics
    /// If the server was started without [`simulate`](ServerBuilder::simulate) or [`admin`](ServerBuilder::admin).
    pub fn answer_delays(&self) -> &AnswerDelays {
        match &self.delays {
            Some(delays) => delays,
            // A delay without effect would let a test of time-outs pass.
            None => panic!("this server does not delay answers: start it with `ServerBuilder::simulate`"),
        }
    }

    /// The virtual machine of this server.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// The publisher, which edits the metadata: see [`Vm::publisher`].
    pub fn publisher(&self) -> &Publisher {
        self.vm.publisher()
    }

    /// Environment variables, as names and values, that direct Google's client libraries and gcloud to this server. Empty for a
    /// Unix socket.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        environment::of_clients(&self.address)
    }

    /// Stops the server gracefully: it accepts no new connections, answers requests that wait for a change, and lets other
    /// requests finish for up to the [drain time](ServerBuilder::drain). Returns whether all requests finished in time.
    pub async fn shutdown(self) -> bool {
        let drained = self.running.lifecycle.drain(self.drain).await;
        // The last requests may have written guest attributes.
        if let Some(store) = &self.vm.guest_attributes {
            let _ = timeout(self.drain, store.save_or_log()).await;
        }
        self.running.monitoring.drain(METRICS_DRAIN).await;
        drained
    }

    /// Stops the server as [`shutdown`](Self::shutdown) does, and blocks the calling thread meanwhile: for callers without a
    /// runtime, such as a plain `#[test]`.
    ///
    /// # Panics
    /// In async code, which must not block.
    pub fn shutdown_blocking(self) -> bool {
        // A new runtime, because the server's own ends during the shutdown.
        match Builder::new_current_thread().enable_time().build() {
            Ok(runtime) => runtime.block_on(self.shutdown()),
            // Dropping the server closes its connections at once.
            Err(_) => false,
        }
    }
}
