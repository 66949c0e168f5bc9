//! The settings of a server.

mod readiness;
mod simulation;

use super::bind::{Addresses, Place, Resolve};
use super::body::IncomingBody;
use super::readiness::StartReadiness;
use super::threads::ConnectionThreads;
use super::tls::MtlsOptions;
use crate::admin::AdminOptions;
use crate::config::Overrides;
use crate::events::{Events, Log};
use crate::simulation::Source;
use crate::stack::{InnerService, OwnLayers, SharedRecord};
use crate::vm::VmBuilder;
use bytes::Bytes;
use gce_metadata_layers::Record;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::{Metadata, NoMaintenance, TokenSources};
use gce_metadata_tokens::CredentialSource;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::fmt;
use std::net::ToSocketAddrs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tower::{Layer, Service};

/// Configures and starts a [`Server`](super::Server).
///
/// The methods of [`VmBuilder`], which say what is served, are also methods of this type. The others say how: addresses, HTTPS,
/// limits, threads.
#[derive(Debug)]
#[must_use = "a server does nothing until it is started"]
pub struct ServerBuilder {
    pub(super) vm: VmBuilder,
    /// Receives the answers besides the metrics.
    pub(super) record: Option<SharedRecord>,
    pub(super) answers_proxy_requests: bool,
    pub(super) expects_offline_tokens: bool,
    pub(super) own_layers: Option<OwnLayers<IncomingBody, Full<Bytes>>>,
    pub(super) addresses: Addresses,
    /// Host names that are allowed besides the default ones.
    pub(super) hosts: Vec<String>,
    pub(super) mtls: Option<MtlsOptions>,
    /// `None` without a metrics listener.
    pub(super) metrics_path: Option<String>,
    /// `None` without an admin listener.
    pub(super) admin: Option<AdminOptions>,
    /// Keeps a journal without an admin listener too.
    pub(super) simulates: bool,
    pub(super) simulations: Vec<Source>,
    pub(super) defers_runs: bool,
    pub(super) journal_entries: usize,
    pub(super) readiness: StartReadiness,
    pub(super) limits: Limits,
    pub(super) drain: Duration,
    pub(super) runs_on_current: bool,
    pub(super) threads: Option<NonZeroUsize>,
}

/// Limits on clients.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) max_connections: usize,
    pub(super) max_waiters: usize,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) busy_poll: Duration,
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            vm: VmBuilder::default(),
            record: None,
            answers_proxy_requests: false,
            expects_offline_tokens: false,
            own_layers: None,
            addresses: Addresses::default(),
            hosts: Vec::new(),
            mtls: None,
            metrics_path: None,
            admin: None,
            simulates: false,
            simulations: Vec::new(),
            defers_runs: false,
            journal_entries: Self::JOURNAL_ENTRIES,
            readiness: StartReadiness::default(),
            limits: Limits {
                max_connections: Self::MAX_CONNECTIONS,
                max_waiters: Self::MAX_WAITERS,
                header_timeout: Self::HEADER_TIMEOUT,
                write_timeout: Self::WRITE_TIMEOUT,
                busy_poll: Duration::ZERO,
            },
            drain: Self::DRAIN,
            runs_on_current: false,
            threads: None,
        }
    }
}

impl ServerBuilder {
    /// Default of [`max_connections`](Self::max_connections).
    pub const MAX_CONNECTIONS: usize = 16_000;
    /// Default of [`max_waiters`](Self::max_waiters).
    pub const MAX_WAITERS: usize = 12_000;
    /// Default of [`header_timeout`](Self::header_timeout).
    pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
    /// Default of [`write_timeout`](Self::write_timeout).
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
    /// Default of [`journal_entries`](Self::journal_entries).
    pub const JOURNAL_ENTRIES: usize = 1000;
    /// Maximum size of a request's head (request line and headers), in bytes. A larger one is answered 431.
    pub const HEADER_BYTES: usize = 64 * 1024;
    /// Default of [`drain`](Self::drain).
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// Changes the settings of the virtual machine.
    fn vm(self, change: impl FnOnce(VmBuilder) -> VmBuilder) -> Self {
        Self { vm: change(self.vm), ..self }
    }

    /// Serves this metadata.
    pub fn metadata(self, metadata: Metadata) -> Self {
        self.vm(|vm| vm.metadata(metadata))
    }

    /// Serves the metadata of this config file, and reloads the file when it changes: see [`VmBuilder::metadata_file`].
    pub fn metadata_file(self, path: impl Into<PathBuf>) -> Self {
        self.vm(|vm| vm.metadata_file(path))
    }

    /// Sets values that override those of the metadata, also after a reload.
    pub fn overrides(self, overrides: Overrides) -> Self {
        self.vm(|vm| vm.overrides(overrides))
    }

    /// Serves this access token for the default service account.
    pub fn access_token(self, token: impl Into<String>) -> Self {
        self.vm(|vm| vm.access_token(token))
    }

    /// Serves this identity token for the default service account.
    pub fn id_token(self, token: impl Into<String>) -> Self {
        self.vm(|vm| vm.id_token(token))
    }

    /// Sets the source of tokens; by default the offline issuer.
    pub fn credentials(self, source: CredentialSource) -> Self {
        self.vm(|vm| vm.credentials(source))
    }

    /// Sets the caller's own services as token sources: see [`VmBuilder::token_sources`].
    pub fn token_sources(self, sources: TokenSources) -> Self {
        self.vm(|vm| vm.token_sources(sources))
    }

    /// Adds an endpoint: see [`VmBuilder::with_route`]. On an HTTPS listener, the client's identity is in
    /// [`RequestHead::connection`](crate::layers::RequestHead::connection).
    pub fn with_route(self, path: impl Into<String>, endpoint: impl Endpoint + 'static) -> Self {
        self.vm(|vm| vm.with_route(path, endpoint))
    }

    /// Adds the caller's own layer, inside the layers that refuse requests and outside the layers that answer: see
    /// [`Stack::layer`](crate::Stack::layer).
    pub fn layer<L>(self, layer: L) -> Self
    where
        L: Layer<InnerService<IncomingBody, Full<Bytes>>> + Send + Sync + 'static,
        L::Service: Service<Request<IncomingBody>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send + 'static>
            + Clone
            + Send
            + Sync
            + 'static,
    {
        Self { own_layers: Some(OwnLayers::inside(self.own_layers, layer)), ..self }
    }

    /// Calls this for each answer, with its status and latency.
    ///
    /// ```
    /// use gce_metadata_server::Server;
    /// use gce_metadata_server::layers::Answered;
    ///
    /// let builder = Server::builder().record(|answered: &Answered<'_>| {
    ///     let _ = (&answered.path, answered.status, answered.latency);
    /// });
    /// # drop(builder);
    /// ```
    pub fn record(self, record: impl Record + Send + Sync + 'static) -> Self {
        Self { record: Some(SharedRecord::new(record)), ..self }
    }

    /// Answers requests that a client sends to an HTTP proxy, if they are for the metadata server, so that `HTTP_PROXY` can name
    /// this server; refuses others: see [`AnswerProxyRequests`](crate::layers::AnswerProxyRequests). Has no effect on a Unix
    /// socket.
    pub fn answer_proxy_requests(self) -> Self {
        Self { answers_proxy_requests: true, ..self }
    }

    /// Does not warn at start if a config file is served with offline tokens.
    pub fn expect_offline_tokens(self) -> Self {
        Self { expects_offline_tokens: true, ..self }
    }

    /// Serves the APIs older than v1: see [`VmBuilder::enable_legacy_endpoints`].
    pub fn enable_legacy_endpoints(self) -> Self {
        self.vm(VmBuilder::enable_legacy_endpoints)
    }

    /// Sets the answer of `instance/upcoming-maintenance` if the metadata has no such value.
    pub fn no_maintenance(self, answer: NoMaintenance) -> Self {
        self.vm(|vm| vm.no_maintenance(answer))
    }

    /// Persists guest attributes in this file: see [`VmBuilder::guest_attributes_file`].
    pub fn guest_attributes_file(self, path: impl Into<PathBuf>) -> Self {
        self.vm(|vm| vm.guest_attributes_file(path))
    }

    /// Answers a write of guest attributes only after it is on disk: see [`VmBuilder::guest_attributes_sync`].
    pub fn guest_attributes_sync(self) -> Self {
        self.vm(VmBuilder::guest_attributes_sync)
    }

    /// Enforces GCE's rate limits with status 429: see [`VmBuilder::enforce_rate_limits`].
    pub fn enforce_rate_limits(self) -> Self {
        self.vm(VmBuilder::enforce_rate_limits)
    }

    /// Listens at this TCP address; port 0 is any free port. The default is `127.0.0.1:0`.
    ///
    /// A host name is resolved when the server starts, on a thread that may block. If there are several addresses, the server
    /// listens at the first one that it can bind.
    ///
    /// ```
    /// # use gce_metadata_server::Server;
    /// let builder = Server::builder().listen(("localhost", 8080));
    /// # drop(builder);
    /// ```
    pub fn listen(mut self, address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static) -> Self {
        self.addresses.main = Place::Tcp(Resolve::new(address));
        self
    }

    /// Also allows requests whose `Host` is this name; `.example.com` allows all names with this suffix, and `*` every name.
    /// The start fails if it is not a host name.
    ///
    /// Always allowed are the hosts of [`AllowedHosts`](crate::layers::AllowedHosts), the name of this machine, and the host of
    /// [`OfflineOptions::issuer`](crate::OfflineOptions::issuer). A request with another host is answered 403, because a web
    /// page could have sent it (DNS rebinding).
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Accepts connections from this listener instead of binding an address.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        self.addresses.main = Place::Listener(listener.into_std());
        self
    }

    /// Listens at a Unix socket at this path. `mode` is the file mode of the socket, such as `0o660`; without it, the umask
    /// decides.
    pub fn unix_socket(mut self, path: impl AsRef<Path>, mode: Option<u32>) -> Self {
        self.addresses.main = Place::Unix { path: path.as_ref().to_owned(), mode };
        self
    }

    /// Serves HTTPS with client certificates instead of plain HTTP.
    pub fn mtls(mut self, options: MtlsOptions) -> Self {
        (self.addresses.tls, self.mtls) = (None, Some(options));
        self
    }

    /// Serves HTTPS with client certificates at this address, beside plain HTTP, as GCE does on ports 443 and 80. The address is
    /// resolved as that of [`listen`](Self::listen) is.
    pub fn mtls_beside(
        mut self,
        address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static,
        options: MtlsOptions,
    ) -> Self {
        (self.addresses.tls, self.mtls) = (Some(Resolve::new(address)), Some(options));
        self
    }

    /// Serves metrics in Prometheus' text format at this path of a second listener, which also serves `/healthz` and `/readyz`.
    /// The address is resolved as that of [`listen`](Self::listen) is. The start fails if `path` is one of these two.
    pub fn metrics(
        mut self,
        address: impl ToSocketAddrs + fmt::Debug + Send + Sync + 'static,
        path: impl Into<String>,
    ) -> Self {
        let mut path = path.into();
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        (self.addresses.metrics, self.metrics_path) = (Some(Resolve::new(address)), Some(path));
        self
    }

    /// Serves the admin API on a listener of its own: it shows and changes the metadata, tokens and settings while the server runs.
    pub fn admin(self, options: AdminOptions) -> Self {
        Self { admin: Some(options), ..self }
    }

    /// Simulates: keeps a journal of the last requests, for [`Server::requests`](super::Server::requests), injects
    /// [faults](super::Server::faults), runs [scenarios](super::Server::scenario), and lets
    /// [`Server::readiness`](super::Server::readiness) and [`Server::answer_delays`](super::Server::answer_delays) change. A server with an
    /// admin listener does so too.
    pub fn simulate(self) -> Self {
        Self { simulates: true, ..self }
    }

    /// Sets the number of requests in the journal. 0 turns the journal off. Has no effect on a server with neither
    /// [`admin`](Self::admin) nor [`simulate`](Self::simulate).
    pub fn journal_entries(self, entries: usize) -> Self {
        Self { journal_entries: entries, ..self }
    }

    /// The log of requests and events of a server that simulates.
    pub(super) fn events(&self) -> Events {
        Events::new(self.has_simulation().then(|| Log::new(self.journal_entries)))
    }

    /// Limits the number of open connections, to 1 at least. Further clients wait in the kernel's accept queue.
    pub fn max_connections(mut self, max_connections: usize) -> Self {
        self.limits.max_connections = max_connections;
        self
    }

    /// Limits the number of requests that wait for a change; further ones are answered 503. At most three quarters of the
    /// [connections](Self::max_connections) may wait, so that long polls leave connections for other requests, but always one.
    pub fn max_waiters(mut self, max_waiters: usize) -> Self {
        self.limits.max_waiters = max_waiters;
        self
    }

    /// Limits the memory of all request bodies in flight, in bytes: see [`VmBuilder::max_body_bytes_in_flight`].
    pub fn max_body_bytes_in_flight(self, bytes: usize) -> Self {
        self.vm(|vm| vm.max_body_bytes_in_flight(bytes))
    }

    /// Sets how long a connection may be idle, and how long a client may take to send the head of a request. The connection is
    /// closed after that. A request that waits for a change is not idle.
    pub fn header_timeout(mut self, header_timeout: Duration) -> Self {
        self.limits.header_timeout = header_timeout;
        self
    }

    /// Sets how long a write may make no progress because the client does not read. The connection is closed after that.
    pub fn write_timeout(mut self, write_timeout: Duration) -> Self {
        self.limits.write_timeout = write_timeout;
        self
    }

    /// Sets how long a thread looks for the next request of a connection after an answer, before it sleeps: busy polling. Only a connection
    /// that has its thread to itself polls. 50 microseconds more than double the requests per second of a single connection on an idle
    /// machine, and halve them on a busy one. By default a thread sleeps at once.
    pub fn busy_poll(mut self, busy_poll: Duration) -> Self {
        self.limits.busy_poll = busy_poll;
        self
    }

    /// Sets how long [`Server::shutdown`](super::Server::shutdown) waits for requests to finish.
    pub fn drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Serves connections on this many additional threads, each with its own single-threaded runtime. Up to a thousand
    /// connections without TLS are all served by the first of them, where they cost least; more are spread. By default the
    /// thread that runs the server also serves connections.
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// The best number of threads for this machine: one for each processor, up to four.
    pub fn default_threads() -> NonZeroUsize {
        ConnectionThreads::default_number()
    }

    /// Runs the server in the runtime in which [`start`](Self::start) is called, instead of on a new thread: for tests with a
    /// paused clock, and for programs with an idle runtime. The server makes no progress while that runtime is blocked.
    pub fn on_current_runtime(self) -> Self {
        Self { runs_on_current: true, ..self }
    }
}
