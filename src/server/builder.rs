//! The settings of a server.

use super::body::IncomingBody;
use super::threads::ConnectionThreads;
use super::tls::MtlsOptions;
use crate::config::Overrides;
use crate::stack::{InnerService, OwnLayers};
use crate::vm::VmBuilder;
use bytes::Bytes;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::{Metadata, NoMaintenance, TokenSources};
use gce_metadata_tokens::CredentialSource;
use http::{Request, Response};
use http_body_util::Full;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tower::{Layer, Service};

/// Settings of a [`Server`](super::Server).
#[derive(Debug)]
pub struct ServerBuilder {
    pub(super) vm: VmBuilder,
    pub(super) own_layers: Option<OwnLayers<IncomingBody, Full<Bytes>>>,
    pub(super) place: Place,
    /// Host names that clients may call the server by, beside those that are always allowed.
    pub(super) hosts: Vec<String>,
    pub(super) mtls: Option<(Option<SocketAddr>, MtlsOptions)>,
    pub(super) metrics: Option<MetricsOptions>,
    pub(super) most_connections: usize,
    pub(super) most_waiters: usize,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) drain: Duration,
    pub(super) runs_on_current: bool,
    pub(super) threads: Option<NonZeroUsize>,
}

#[derive(Debug)]
pub(super) struct MetricsOptions {
    pub(super) address: SocketAddr,
    pub(super) path: String,
}

/// Where a server listens.
#[derive(Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    /// Not registered with any runtime: the server has one of its own.
    Listener(io::Result<std::net::TcpListener>),
    Unix {
        path: PathBuf,
        mode: Option<u32>,
    },
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            vm: VmBuilder::default(),
            own_layers: None,
            place: Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
            hosts: Vec::new(),
            mtls: None,
            metrics: None,
            most_connections: Self::MOST_CONNECTIONS,
            most_waiters: Self::MOST_WAITERS,
            header_timeout: Self::HEADER_TIMEOUT,
            write_timeout: Self::WRITE_TIMEOUT,
            drain: Self::DRAIN,
            runs_on_current: false,
            threads: None,
        }
    }
}

impl ServerBuilder {
    /// Connections at a time, unless another cap is set.
    pub const MOST_CONNECTIONS: usize = 16_000;
    /// Requests that wait for a change at a time, unless another cap is set or there are fewer connections.
    pub const MOST_WAITERS: usize = 12_000;
    /// How long a client may take for the head of a request, and be idle between two, unless another time is set.
    pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long a client may take nothing of what is written to it, unless another time is set.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
    /// The most bytes that the head of a request may have.
    pub const HEADER_BYTES: usize = 64 * 1024;
    /// How long a stopping server waits for its connections, unless another time is set.
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// Changes the settings of the virtual machine that is served. The methods of [`VmBuilder`] are also methods of this type.
    fn vm(self, change: impl FnOnce(VmBuilder) -> VmBuilder) -> Self {
        Self { vm: change(self.vm), ..self }
    }

    /// Serves this metadata.
    pub fn metadata(self, metadata: Metadata) -> Self {
        self.vm(|vm| vm.metadata(metadata))
    }

    /// Serves this config file, and follows its changes.
    pub fn metadata_file(self, path: impl Into<PathBuf>) -> Self {
        self.vm(|vm| vm.metadata_file(path))
    }

    /// Sets values that override those of the metadata.
    pub fn overrides(self, overrides: Overrides) -> Self {
        self.vm(|vm| vm.overrides(overrides))
    }

    /// Serves this access token for the default account.
    pub fn access_token(self, token: impl Into<String>) -> Self {
        self.vm(|vm| vm.access_token(token))
    }

    /// Serves this identity token for the default account.
    pub fn id_token(self, token: impl Into<String>) -> Self {
        self.vm(|vm| vm.id_token(token))
    }

    /// Takes tokens from this source. By default the offline issuer makes them.
    pub fn credentials(self, source: CredentialSource) -> Self {
        self.vm(|vm| vm.credentials(source))
    }

    /// Takes tokens from services of the caller's own.
    pub fn token_sources(self, sources: TokenSources) -> Self {
        self.vm(|vm| vm.token_sources(sources))
    }

    /// Adds an endpoint: see [`VmBuilder::with_route`]. On an HTTPS listener it finds the client's identity in
    /// [`RequestHead::connection`](crate::layers::RequestHead::connection).
    pub fn with_route(self, path: impl Into<String>, endpoint: impl Endpoint + 'static) -> Self {
        self.vm(|vm| vm.with_route(path, endpoint))
    }

    /// Adds a layer of the caller's own, inside of those that refuse requests and outside of those that answer: see
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

    /// Serves the APIs before v1: see [`VmBuilder::enable_legacy_endpoints`].
    pub fn enable_legacy_endpoints(self) -> Self {
        self.vm(VmBuilder::enable_legacy_endpoints)
    }

    /// Sets what `instance/upcoming-maintenance` answers while the metadata has none.
    pub fn no_maintenance(self, answer: NoMaintenance) -> Self {
        self.vm(|vm| vm.no_maintenance(answer))
    }

    /// Keeps guest attributes in this file, over restarts: see [`VmBuilder::guest_attributes_file`].
    pub fn guest_attributes_file(self, path: impl Into<PathBuf>) -> Self {
        self.vm(|vm| vm.guest_attributes_file(path))
    }

    /// Answers a write of guest attributes when it is on disk: see [`VmBuilder::guest_attributes_sync`].
    pub fn guest_attributes_sync(self) -> Self {
        self.vm(VmBuilder::guest_attributes_sync)
    }

    /// Answers 429 where GCE would: see [`VmBuilder::enforce_rate_limits`].
    pub fn enforce_rate_limits(self) -> Self {
        self.vm(VmBuilder::enforce_rate_limits)
    }

    /// Listens at this address; port 0 is any free port.
    pub fn listen(self, address: SocketAddr) -> Self {
        Self { place: Place::Tcp(address), ..self }
    }

    /// Also lets in requests whose `Host` is this name, a suffix such as `.example.com`, or with `*` any name.
    ///
    /// Every other request is answered 403, because a web page could have sent it (DNS rebinding), unless
    /// [`AllowedHosts`](crate::layers::AllowedHosts) always allows its host, or it is the name of this machine or the host of
    /// [`OfflineOptions::issuer`](crate::OfflineOptions::issuer). A name that is not a host name fails the start.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.push(name.into());
        self
    }

    /// Takes connections from a listener that is there already.
    pub fn listener(self, listener: TcpListener) -> Self {
        Self { place: Place::Listener(listener.into_std()), ..self }
    }

    /// Listens at a Unix socket, whose file gets `mode` (such as `0o660`) if one is given.
    pub fn unix_socket(self, path: impl AsRef<Path>, mode: Option<u32>) -> Self {
        Self { place: Place::Unix { path: path.as_ref().to_owned(), mode }, ..self }
    }

    /// Serves HTTPS to clients with certificates, and nothing else.
    pub fn mtls(self, options: MtlsOptions) -> Self {
        Self { mtls: Some((None, options)), ..self }
    }

    /// Serves HTTPS to clients with certificates at this address, beside the plain HTTP, as GCE does on 443 beside 80.
    pub fn mtls_beside(self, address: SocketAddr, options: MtlsOptions) -> Self {
        Self { mtls: Some((Some(address), options)), ..self }
    }

    /// Serves metrics in Prometheus' form at this path of a listener of their own, beside `/healthz` and `/readyz`. Another
    /// path than these two, or the start fails.
    pub fn metrics(self, address: SocketAddr, path: impl Into<String>) -> Self {
        let mut path = path.into();
        if !path.starts_with('/') {
            path.insert(0, '/');
        }
        Self { metrics: Some(MetricsOptions { address, path }), ..self }
    }

    /// Caps the connections at a time, of which there is one at least; more wait in the kernel's queue.
    pub fn most_connections(self, most_connections: usize) -> Self {
        Self { most_connections, ..self }
    }

    /// Caps the requests that wait for a change at a time; more are answered 503. However large this cap is, at most three
    /// quarters of the [connections](Self::most_connections) may wait, but one always: the rest is for other requests.
    pub fn most_waiters(self, most_waiters: usize) -> Self {
        Self { most_waiters, ..self }
    }

    /// Caps the memory of all request bodies that are being received, in bytes: see [`VmBuilder::max_body_bytes_in_flight`].
    pub fn max_body_bytes_in_flight(self, bytes: usize) -> Self {
        self.vm(|vm| vm.max_body_bytes_in_flight(bytes))
    }

    /// Sets how long a client may take for the head of a request, and be idle between two. Waiting for a change is not
    /// idle.
    pub fn header_timeout(self, header_timeout: Duration) -> Self {
        Self { header_timeout, ..self }
    }

    /// Sets how long a client may take nothing of what is written to it before it is left to itself.
    pub fn write_timeout(self, write_timeout: Duration) -> Self {
        Self { write_timeout, ..self }
    }

    /// Sets how long [`Server::shutdown`](super::Server::shutdown) waits for connections.
    pub fn drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Serves connections on this many further threads of the server's own, each with a runtime. Up to a thousand connections
    /// without TLS are all served by the first of them, where they cost least; more are spread. By default the thread that
    /// runs the server serves them too.
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// As many threads as serve connections best on this machine: one for each processor, four at most.
    pub fn default_threads() -> NonZeroUsize {
        ConnectionThreads::default_number()
    }

    /// Runs the server in the runtime in which [`start`](Self::start) is called, instead of on a thread of its own: for tests
    /// with a paused clock, and for programs that have a runtime to spare. The server stands still while that runtime does.
    pub fn on_current_runtime(self) -> Self {
        Self { runs_on_current: true, ..self }
    }
}
