//! The settings of a server.

use super::tls::MtlsOptions;
use crate::config::Overrides;
use crate::credentials::{CredentialSource, OfflineOptions};
use gce_metadata_routes::token::Secret;
use gce_metadata_routes::{Metadata, NoMaintenance, RouterOptions, TokenSources};
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// Settings of a [`Server`](super::Server).
#[derive(Debug)]
pub struct ServerBuilder {
    pub(super) served: Served,
    pub(super) overrides: Overrides,
    pub(super) tokens: Tokens,
    pub(super) router: RouterOptions,
    pub(super) guest_attributes: Option<PathBuf>,
    pub(super) guest_attributes_sync: bool,
    pub(super) enforces_rate_limits: bool,
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
    pub(super) threads: Option<NonZeroUsize>,
}

#[derive(Debug)]
pub(super) enum Served {
    Given(Metadata),
    File(PathBuf),
}

#[derive(Debug)]
pub(super) enum Tokens {
    From(Box<CredentialSource>),
    Given(TokenSources),
}

impl Tokens {
    /// The issuer of identity tokens, if it is the caller's own. Google's has a host that is not this server.
    pub(super) fn issuer(&self) -> Option<&str> {
        match self {
            Self::From(source) => match &**source {
                CredentialSource::Offline(options) => Some(&*options.issuer).filter(|it| *it != OfflineOptions::GOOGLE),
                _ => None,
            },
            Self::Given(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct MetricsOptions {
    pub(super) address: SocketAddr,
    pub(super) path: String,
}

#[derive(Debug)]
pub(super) enum Place {
    Tcp(SocketAddr),
    Listener(TcpListener),
    Unix { path: PathBuf, mode: Option<u32> },
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            served: Served::Given(Metadata::sample()),
            overrides: Overrides::default(),
            tokens: Tokens::From(Box::default()),
            router: RouterOptions::default(),
            guest_attributes: None,
            guest_attributes_sync: false,
            enforces_rate_limits: false,
            place: Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
            hosts: Vec::new(),
            mtls: None,
            metrics: None,
            most_connections: Self::MOST_CONNECTIONS,
            most_waiters: Self::MOST_WAITERS,
            header_timeout: Self::HEADER_TIMEOUT,
            write_timeout: Self::WRITE_TIMEOUT,
            drain: Self::DRAIN,
            threads: None,
        }
    }
}

impl ServerBuilder {
    /// Connections at a time, unless another cap is set.
    pub const MOST_CONNECTIONS: usize = 16_000;
    /// Requests that wait for a change at a time, unless another cap is set.
    pub const MOST_WAITERS: usize = 12_000;
    /// How long a client may take for the head of a request, and be idle between two, unless another time is set.
    pub const HEADER_TIMEOUT: Duration = Duration::from_secs(60);
    /// How long a client may take nothing of what is written to it, unless another time is set.
    pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
    /// The most bytes that the head of a request may have.
    pub const HEADER_BYTES: usize = 64 * 1024;
    /// How long a stopping server waits for its connections, unless another time is set.
    pub const DRAIN: Duration = Duration::from_secs(10);

    /// Serves this metadata.
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { served: Served::Given(metadata), ..self }
    }

    /// Serves this config file, and what it changes to.
    pub fn metadata_file(self, path: impl Into<PathBuf>) -> Self {
        Self { served: Served::File(path.into()), ..self }
    }

    /// Sets values that override those of the metadata.
    pub fn overrides(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Hands out this access token for the default account.
    pub fn access_token(self, token: impl Into<String>) -> Self {
        let given = Secret::from(token.into());
        self.fixed(|access_token, _| *access_token = Some(given))
    }

    /// Hands out this identity token for the default account.
    pub fn id_token(self, token: impl Into<String>) -> Self {
        let given = Secret::from(token.into());
        self.fixed(|_, id_token| *id_token = Some(given))
    }

    /// The one token does not take the place of the other.
    fn fixed(mut self, set: impl FnOnce(&mut Option<Secret>, &mut Option<Secret>)) -> Self {
        let mut fixed = (None, None);
        if let Tokens::From(source) = &mut self.tokens
            && let CredentialSource::Fixed { access_token, id_token } = source.as_mut()
        {
            fixed = (access_token.take(), id_token.take());
        }
        set(&mut fixed.0, &mut fixed.1);
        self.credentials(CredentialSource::Fixed { access_token: fixed.0, id_token: fixed.1 })
    }

    /// Takes tokens from this source. Without it the offline issuer makes them.
    pub fn credentials(self, source: CredentialSource) -> Self {
        Self { tokens: Tokens::From(Box::new(source)), ..self }
    }

    /// Takes tokens from services of the caller's own.
    pub fn token_sources(self, sources: TokenSources) -> Self {
        Self { tokens: Tokens::Given(sources), ..self }
    }

    /// Serves the APIs before v1, `/0.1/` and `/computeMetadata/v1beta1/`, which demand no header and GCE refuses. The
    /// attribute `disable-legacy-endpoints` of the instance or the project switches them off again.
    pub fn enable_legacy_endpoints(mut self) -> Self {
        self.router.legacy_endpoints = true;
        self
    }

    /// Sets what `instance/upcoming-maintenance` answers while the metadata has none.
    pub fn no_maintenance(mut self, answer: NoMaintenance) -> Self {
        self.router.no_maintenance = answer;
        self
    }

    /// Keeps what guests write under `instance/guest-attributes/` in this file, over restarts. While the file is not there,
    /// the metadata says what they are. A write is answered before it is on disk, so a crash or a kill loses the last ones, unless
    /// [`guest_attributes_sync`](Self::guest_attributes_sync) is set. The file is locked by another one beside it, `FILE.lock`: a
    /// second server with the same file does not start.
    pub fn guest_attributes_file(self, path: impl Into<PathBuf>) -> Self {
        Self { guest_attributes: Some(path.into()), ..self }
    }

    /// Answers a write of guest attributes when it is on disk, for a server with a
    /// [file of them](Self::guest_attributes_file). Concurrent writes share one save. A write that can't be saved is answered
    /// 503: it is served all the same, and saved as soon as the file can be written.
    pub fn guest_attributes_sync(self) -> Self {
        Self { guest_attributes_sync: true, ..self }
    }

    /// Answers 429 where GCE would: to more than 3 requests a second or 10 a minute of guest attributes, and to more than 50 a
    /// second of OS Login, of identity tokens, or of access tokens that are not in the cache. Access tokens of the caller's
    /// own sources have no limit.
    pub fn enforce_rate_limits(self) -> Self {
        Self { enforces_rate_limits: true, ..self }
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
        Self { place: Place::Listener(listener), ..self }
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

    /// Caps the requests that wait for a change at a time; more are answered 503.
    pub fn most_waiters(self, most_waiters: usize) -> Self {
        Self { most_waiters, ..self }
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

    /// Serves connections on this many threads of the server's own, each with a runtime, instead of in the runtime in which
    /// [`start`](Self::start) is called. Up to a thousand connections without TLS are all served by the first of them, where they cost
    /// least; more are spread.
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }
}
