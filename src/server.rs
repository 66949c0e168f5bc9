//! A running server: its sockets, the task that follows its config, and how it stops.

mod advice;
mod bind;
mod body;
mod builder;
mod connection;
mod listener;
mod open_connections;
mod socket;
mod start;
mod start_error;
mod threads;
mod tls;

pub use body::IncomingBody;
pub use builder::ServerBuilder;
pub use listener::Address;
pub(crate) use open_connections::OpenConnections;
pub use start_error::StartError;
pub use tls::{Certificates, MdsFolder, MtlsOptions, TlsError};

use crate::reload::ReloadCounts;
use crate::vm::Vm;
use gce_metadata_routes::Publisher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a stopped server waits for the last answers of the metrics listener.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A metadata server that runs in this process.
///
/// It runs on threads of its own, so it makes progress while the caller's thread is blocked. Several servers in one process
/// share nothing. Dropping one stops it; [`shutdown`](Self::shutdown) also waits until its connections are done.
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
    vm: Vm,
    running: Running,
    drain: Duration,
}

/// The tasks of a server. Dropping it ends them.
#[derive(Debug, Default)]
struct Running {
    lifecycle: Lifecycle,
    /// That of the metrics listener, which ends last: a monitor sees the server stop.
    watching: Lifecycle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lifecycle.end();
        self.watching.end();
    }
}

/// How the tasks of a server are told to end, in two steps.
#[derive(Debug, Clone, Default)]
struct Lifecycle {
    /// Accept nothing new, answer what waits, close what is idle.
    stop: CancellationToken,
    /// Close the rest.
    abort: CancellationToken,
    tasks: TaskTracker,
}

impl Lifecycle {
    /// Runs a task until it ends or the server stops.
    fn spawn(&self, task: impl Future<Output: Send> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move { _ = stop.run_until_cancelled(task).await });
    }

    /// Ends step by step, the second one after this time. Says whether the first was enough.
    async fn drain(&self, time: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let drained = timeout(time, self.tasks.wait()).await.is_ok();
        self.abort.cancel();
        self.tasks.wait().await;
        drained
    }

    /// Closes everything at once.
    fn end(&self) {
        self.stop.cancel();
        self.abort.cancel();
        // Threads of the server's own end with the last task.
        self.tasks.close();
    }
}

impl Server {
    /// A server yet to be started: by default the sample VM, offline tokens, and a free port of 127.0.0.1.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address of the metrics listener; `None` without one.
    pub fn metrics_address(&self) -> Option<&Address> {
        self.metrics_address.as_ref()
    }

    /// Where HTTPS with client certificates is, if it is anywhere; this may be [`address`](Self::address) itself.
    pub fn tls_address(&self) -> Option<&Address> {
        self.tls_address.as_ref()
    }

    /// `http://HOST:PORT`, or `https://`, for a client on this machine; `None` for a Unix socket.
    pub fn url(&self) -> Option<String> {
        let scheme = if self.tls_address.as_ref() == Some(&self.address) { "https" } else { "http" };
        self.reachable_at().map(|address| format!("{scheme}://{address}"))
    }

    /// The virtual machine that is served.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Changes what is served: see [`Vm::publisher`].
    pub fn publisher(&self) -> &Publisher {
        self.vm.publisher()
    }

    /// How often the config file was reloaded.
    pub fn reloads(&self) -> &ReloadCounts {
        self.vm.reloads()
    }

    /// Reloads the config file: see [`Vm::reload`].
    pub fn reload(&self) {
        self.vm.reload();
    }

    /// The variables that point Google's client libraries and gcloud at this server. None for a Unix socket.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let names = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"];
        self.reachable_at().map_or_else(Vec::new, |address| names.map(|name| (name, address.to_string())).into())
    }

    /// A server on all interfaces is reached by the loopback one.
    fn reachable_at(&self) -> Option<SocketAddr> {
        let Address::Tcp(mut address) = self.address else { return None };
        match address.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Some(address)
    }

    /// Stops: accepts nothing new, answers whoever waits for a change, and lets requests finish until the drain time is
    /// up. Says whether all did.
    pub async fn shutdown(self) -> bool {
        let drained = self.running.lifecycle.drain(self.drain).await;
        // What the last requests wrote.
        if let Some(keeper) = &self.vm.guest_attributes {
            let _ = timeout(self.drain, keeper.save_or_log()).await;
        }
        self.running.watching.drain(LAST_LOOK).await;
        drained
    }
}
