//! From settings to a running server: everything is checked and bound before anything is served.

use super::connection::{self, ConnectionLimits};
use super::listener::{Address, Listener};
use super::runtimes::Runtimes;
use super::start_error::StartError;
use super::tls::{self, MdsClientCertificate, MtlsOptions, Opened, Tls};
use super::{Lifecycle, Server};
use crate::admin::Admin;
use crate::config::{ConfigFile, Overrides};
use crate::credentials::{CredentialSource, Credentials};
use crate::guest_attributes::{self, Keeper};
use crate::metrics::{Connections, Metrics, State};
use crate::rate_limits::EndpointLimits;
use crate::reload::{Reload, ReloadCounts};
use crate::stack::Stack;
use bytes::Bytes;
use gce_metadata_layers::{AllowedPeers, LimitRateLayer, Waiters};
use gce_metadata_routes::token::Secret;
use gce_metadata_routes::{Metadata, NoMaintenance, Publisher, Router, RouterOptions, TokenSources};
use http_body_util::Full;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Few watch, and none for long.
const ADMIN_CONNECTIONS: usize = 64;

/// Settings of a [`Server`].
#[derive(Debug)]
pub struct ServerBuilder {
    served: Served,
    overrides: Overrides,
    tokens: Tokens,
    router: RouterOptions,
    guest_attributes: Option<PathBuf>,
    enforces_rate_limits: bool,
    place: Place,
    mtls: Option<(Option<SocketAddr>, MtlsOptions)>,
    admin: Option<AdminPlace>,
    most_connections: usize,
    most_waiters: usize,
    header_timeout: Duration,
    write_timeout: Duration,
    drain: Duration,
    threads: Option<NonZeroUsize>,
}

#[derive(Debug)]
enum Served {
    Given(Metadata),
    File(PathBuf),
}

#[derive(Debug)]
enum Tokens {
    From(Box<CredentialSource>),
    Given(TokenSources),
}

#[derive(Debug)]
struct AdminPlace {
    address: SocketAddr,
    metrics_path: String,
}

#[derive(Debug)]
enum Place {
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
            enforces_rate_limits: false,
            place: Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()),
            mtls: None,
            admin: None,
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

    /// Sets values that stand over those of the metadata.
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
    /// the metadata says what they are.
    pub fn guest_attributes_file(self, path: impl Into<PathBuf>) -> Self {
        Self { guest_attributes: Some(path.into()), ..self }
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

    /// Counts, and shows metrics in Prometheus' form at this path of a second listener, beside `/healthz` and `/readyz`.
    pub fn admin(self, address: SocketAddr, metrics_path: impl Into<String>) -> Self {
        Self { admin: Some(AdminPlace { address, metrics_path: metrics_path.into() }), ..self }
    }

    /// Caps the connections at a time; more wait in the kernel's queue.
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

    /// Sets how long [`Server::shutdown`] waits for connections.
    pub fn drain(self, drain: Duration) -> Self {
        Self { drain, ..self }
    }

    /// Serves connections on this many threads of the server's own, each with a runtime, instead of in the runtime in which
    /// [`start`](Self::start) is called.
    pub fn threads(self, threads: NonZeroUsize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Checks everything, binds the socket, and serves. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the config, the key or the socket can't be had.
    pub async fn start(self) -> Result<Server, StartError> {
        let doubt = self.overrides.doubt();
        // Nobody counts where nobody looks.
        let metrics = self.admin.is_some().then(Metrics::new);
        let rate_limits = self.enforces_rate_limits.then(EndpointLimits::of_gce);
        let uncached_tokens = rate_limits.as_ref().map(|limits| Arc::clone(&limits.uncached_tokens));
        let credentials = match self.tokens {
            Tokens::From(source) => source.open(metrics.as_ref(), uncached_tokens)?,
            Tokens::Given(tokens) => Credentials::given(tokens, metrics.as_ref()),
        };
        let Credentials { tokens, routes, identity, default_email, doctor, advice } = credentials;
        let overrides = self.overrides.with_account_if_none(default_email);
        let (metadata, followed) = match self.served {
            Served::Given(metadata) => (overrides.apply(metadata), None),
            Served::File(path) => {
                let file = ConfigFile::new(path, overrides);
                let bytes = file.read()?;
                (file.parse(&bytes)?, Some((file, bytes)))
            }
        };
        let of_config = metadata.tree();
        let tree = match &self.guest_attributes {
            Some(path) => guest_attributes::restored(path, &of_config)?,
            None => of_config.clone(),
        };
        let listed = self.mtls.as_ref().and_then(|(_, options)| options.listed());
        let publisher = Publisher::listing(tree, listed);
        let reader = publisher.reader();
        let (tls_place, tls, peers) = match self.mtls {
            Some((place, options)) => {
                let tls = tls::open(options.certificates, reader.clone(), metrics.clone())?;
                (place, Some(tls), AllowedPeers(options.allowed))
            }
            None => (None, None, AllowedPeers::default()),
        };
        let (listener, address) = bind(self.place).await?;
        let tls_listener = match tls_place {
            Some(address) => Some(bind(Place::Tcp(address)).await?),
            None => None,
        };
        let admin = match self.admin {
            Some(AdminPlace { address, metrics_path }) => Some((bind(Place::Tcp(address)).await?, metrics_path)),
            None => None,
        };

        let keeper = match self.guest_attributes {
            Some(path) => Some(Keeper::start(path, reader.clone(), metrics.clone()).await?),
            None => None,
        };
        let lifecycle = Lifecycle::default();
        let reloads = Arc::new(ReloadCounts::default());
        let waiters = Waiters::at_most(self.most_waiters);
        let connections = Connections::at_most(self.most_connections);
        let limits = |connections: &Connections| ConnectionLimits {
            connections: connections.clone(),
            header_bytes: Self::HEADER_BYTES,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        };

        let (tls, keep_fresh, mds_client_certificate) = match tls {
            Some(Opened { tls, keep_fresh, mds_client_certificate }) => {
                (Some(tls), Some(keep_fresh), mds_client_certificate)
            }
            None => (None, None, None),
        };
        let mds_client_certificate = mds_client_certificate.map(MdsClientCertificate::route);
        let router = Router::with_options(publisher.clone(), tokens, self.router);
        let router = routes.into_iter().chain(mds_client_certificate).fold(router, |router, (path, endpoint)| {
            router.with_route(path, endpoint).unwrap_or_else(|(router, conflict)| {
                tracing::error!(path, "left out: {conflict}");
                router
            })
        });
        let stack = Stack::new(reader.clone(), router)
            .until(lifecycle.stop.clone())
            .waiters(waiters.clone())
            .metrics(metrics.clone())
            .limits(rate_limits.map(LimitRateLayer::new));
        let tls_address = match &tls_listener {
            Some((_, address)) => Some(address.clone()),
            None => tls.as_ref().map(|_| address.clone()),
        };
        let runtimes = match self.threads {
            Some(count) => Runtimes::on_threads(count, &lifecycle.tasks),
            None => Ok(Runtimes::current(&lifecycle.tasks)),
        };
        let runtimes = runtimes.map_err(|error| {
            lifecycle.end();
            StartError::Threads(error)
        })?;
        let serve = |listener, tls: Option<Tls>| {
            let stack = if tls.is_some() { stack.clone().peers(peers.clone()) } else { stack.clone() };
            let service = stack.service::<connection::RequestBody, Full<Bytes>>();
            let limits = limits(&connections);
            let serving = connection::serve(listener, tls, service, limits, runtimes.clone(), lifecycle.clone());
            lifecycle.tasks.spawn(serving);
        };
        match tls_listener {
            Some((tls_listener, _)) => {
                serve(tls_listener, tls);
                serve(listener, None);
            }
            None => serve(listener, tls),
        }
        if let Some(keep_fresh) = keep_fresh {
            let stop = lifecycle.stop.clone();
            lifecycle.tasks.spawn(async move { stop.run_until_cancelled(keep_fresh).await });
        }

        let admin_address = admin.as_ref().map(|((_, address), _)| address.clone());
        if let Some((((listener, _), metrics_path), metrics)) = admin.zip(metrics) {
            let state = State { reader, waiters, connections, reloads: Arc::clone(&reloads), identity };
            let stop = lifecycle.stop.clone();
            let service =
                Admin { metrics: metrics.clone(), metrics_path: metrics_path.into(), state, stop: stop.clone() };
            let limits = limits(&Connections::at_most(ADMIN_CONNECTIONS));
            let here = Runtimes::current(&lifecycle.tasks);
            lifecycle.tasks.spawn(connection::serve(listener, None, service, limits, here, lifecycle.clone()));
            lifecycle.tasks.spawn(async move { stop.run_until_cancelled(metrics.keep_up()).await });
        }

        if let Some(doctor) = doctor {
            let (stop, reader) = (lifecycle.stop.clone(), publisher.reader());
            lifecycle.tasks.spawn(async move { stop.run_until_cancelled(doctor.attend(reader)).await });
        }
        if let Some(doubt) = doubt {
            tracing::warn!("{doubt}");
        }
        if let Some(advice) = advice {
            tracing::info!("{advice}");
        }
        if let Some(keeper) = keeper.clone() {
            let Lifecycle { stop, abort, .. } = lifecycle.clone();
            lifecycle.tasks.spawn(async move { abort.run_until_cancelled(keeper.keep(stop)).await });
        }
        let reload_wanted = Arc::new(Notify::new());
        if let Some((file, bytes)) = followed {
            let reload = Reload::new(
                file,
                bytes,
                of_config.guest_attributes(),
                publisher.clone(),
                Arc::clone(&reloads),
                Arc::clone(&reload_wanted),
            );
            let stop = lifecycle.stop.clone();
            lifecycle.tasks.spawn(async move { stop.run_until_cancelled(reload.run()).await });
        }
        Ok(Server {
            address,
            admin_address,
            tls_address,
            publisher,
            keeper,
            lifecycle,
            drain: self.drain,
            reloads,
            reload_wanted,
        })
    }
}

/// A listener and where it is.
async fn bind(place: Place) -> Result<(Listener, Address), StartError> {
    let (wanted, bound) = match place {
        Place::Tcp(address) => (address.to_string(), TcpListener::bind(address).await.map(Listener::Tcp)),
        Place::Listener(listener) => ("the given listener".to_owned(), Ok(Listener::Tcp(listener))),
        Place::Unix { path, mode } => (format!("unix:{}", path.display()), Listener::unix(&path, mode).await),
    };
    let located = bound.and_then(|listener| listener.address().map(|address| (listener, address)));
    located.map_err(|error| StartError::Listen { address: wanted, error })
}
