//! From settings to a running server: everything is read, checked and bound before anything is served.

use super::builder::{Place, Served, ServerBuilder, Tokens};
use super::connection::{self, ConnectionLimits, RequestBody};
use super::listener::{Address, Listener};
use super::runtimes::Runtimes;
use super::start_error::StartError;
use super::tls::{self, MdsClientCertificate, Opened, Tls};
use super::{Lifecycle, Server};
use crate::admin::Admin;
use crate::config::{ConfigFile, Overrides};
use crate::credentials::{Credentials, Route};
use crate::guest_attributes::{self, Keeper};
use crate::metrics::{Connections, Metrics, State};
use crate::rate_limits::EndpointLimits;
use crate::reload::Reload;
use crate::stack::Stack;
use bytes::Bytes;
use gce_metadata_layers::{AllowedPeers, LimitRateLayer, Waiters};
use gce_metadata_routes::{Metadata, Publisher, Router, RouterOptions, TokenSources, Tree};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tower::Service;

/// Few watch, and none for long.
const ADMIN_CONNECTIONS: usize = 64;

impl ServerBuilder {
    /// Checks everything, binds the sockets, and serves. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the config, the key, a certificate, a socket or a thread can't be had.
    pub async fn start(self) -> Result<Server, StartError> {
        let connections = Connections::at_most(self.most_connections);
        let limits = self.connection_limits(&connections);
        let admin_limits = self.connection_limits(&Connections::at_most(ADMIN_CONNECTIONS));
        let doubt = self.overrides.doubt();
        // Nobody counts where nobody looks.
        let metrics = self.admin.is_some().then(Metrics::new);
        let rate_limits = self.enforces_rate_limits.then(EndpointLimits::of_gce);
        let credentials = match self.tokens {
            Tokens::From(source) => {
                let uncached_tokens = rate_limits.as_ref().map(|limits| Arc::clone(&limits.uncached_tokens));
                source.open_with(metrics.as_ref(), uncached_tokens)?
            }
            Tokens::Given(tokens) => Credentials::given(tokens, metrics.as_ref()),
        };
        let Credentials { tokens, mut routes, facts, default_email, attend, advice } = credentials;
        let (metadata, followed) = read(self.served, self.overrides.with_account_if_none(default_email))?;
        let of_config = metadata.tree();
        let tree = match &self.guest_attributes {
            Some(path) => guest_attributes::restored(path, &of_config)?,
            None => of_config.clone(),
        };
        let listed = self.mtls.as_ref().and_then(|(_, options)| options.listed());
        let publisher = Publisher::with_computed(tree, listed);
        let reader = publisher.reader();
        metrics.iter().for_each(|metrics| metrics.serving(reader.clone()));
        let (https_place, https, peers) = match self.mtls {
            Some((place, options)) => {
                let opened = tls::open(options.certificates, reader.clone(), metrics.clone())?;
                (place.map(Place::Tcp), Some(opened), AllowedPeers(options.allowed))
            }
            None => (None, None, AllowedPeers::default()),
        };
        let (listener, address) = bind(self.place).await?;
        let (https_listener, https_address) = bind_if_any(https_place).await?.unzip();
        let (admin_place, metrics_path) =
            self.admin.map(|admin| (Place::Tcp(admin.address), admin.metrics_path)).unzip();
        let (admin_listener, admin_address) = bind_if_any(admin_place).await?.unzip();

        // Everything is there but threads and a file. From here on an error drops the server, which ends what of it has
        // been started.
        let mut server = Server {
            tls_address: https_address.or_else(|| https.is_some().then(|| address.clone())),
            address,
            admin_address,
            publisher: publisher.clone(),
            keeper: None,
            lifecycle: Lifecycle::default(),
            drain: self.drain,
            reloads: Arc::default(),
            reload_wanted: Arc::default(),
        };
        let lifecycle = &server.lifecycle;
        let runtimes = match self.threads {
            Some(count) => Runtimes::on_threads(count, &lifecycle.tasks).map_err(StartError::Threads)?,
            None => Runtimes::current(&lifecycle.tasks),
        };
        if let Some(path) = self.guest_attributes {
            let keeper = Keeper::start(path, reader.clone(), metrics.clone()).await?;
            let Lifecycle { stop, abort, .. } = lifecycle.clone();
            let keeping = Arc::clone(&keeper).keep(stop);
            lifecycle.tasks.spawn(async move { abort.run_until_cancelled(keeping).await });
            server.keeper = Some(keeper);
        }

        let tls = https.map(|Opened { tls, keep_fresh, mds_client_certificate }| {
            server.lifecycle.spawn(keep_fresh);
            routes.extend(mds_client_certificate.map(MdsClientCertificate::route));
            tls
        });
        let waiters = Waiters::at_most(self.most_waiters);
        let stack = Stack::new(reader.clone(), router(publisher, tokens, self.router, routes))
            .until(server.lifecycle.stop.clone())
            .waiters(waiters.clone())
            .metrics(metrics.clone())
            .limits(rate_limits.map(LimitRateLayer::new));
        let (plain, encrypted) = match https_listener {
            None if tls.is_some() => (None, Some(listener)),
            beside => (Some(listener), beside),
        };
        if let Some(listener) = encrypted {
            let service = stack.clone().peers(peers).service::<RequestBody, Full<Bytes>>();
            server.accept(listener, tls, service, limits.clone(), runtimes.clone());
        }
        if let Some(listener) = plain {
            let service = stack.service::<RequestBody, Full<Bytes>>();
            server.accept(listener, None, service, limits, runtimes);
        }
        if let Some(((listener, path), metrics)) = admin_listener.zip(metrics_path).zip(metrics) {
            let (stop, reloads) = (server.lifecycle.stop.clone(), Arc::clone(&server.reloads));
            let state = State { reader: reader.clone(), waiters, connections, reloads, facts };
            let service = Admin { metrics: metrics.clone(), metrics_path: path.into(), state, stop };
            server.accept(listener, None, service, admin_limits, Runtimes::current(&server.lifecycle.tasks));
            server.lifecycle.spawn(async move { metrics.keep_up().await });
        }

        if let Some(doubt) = doubt {
            tracing::warn!("{doubt}");
        }
        if let Some(advice) = advice {
            tracing::info!("{advice}");
        }
        if let Some(attend) = attend {
            server.lifecycle.spawn(attend(reader));
        }
        if let Some((file, bytes)) = followed {
            server.follow(file, bytes, of_config);
        }
        Ok(server)
    }

    fn connection_limits(&self, connections: &Connections) -> ConnectionLimits {
        ConnectionLimits {
            connections: connections.clone(),
            header_bytes: Self::HEADER_BYTES,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        }
    }
}

impl Server {
    /// Serves whoever connects.
    fn accept<S, B>(
        &self,
        listener: Listener,
        tls: Option<Tls>,
        service: S,
        limits: ConnectionLimits,
        runtimes: Runtimes,
    ) where
        S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
    {
        let lifecycle = self.lifecycle.clone();
        self.lifecycle.tasks.spawn(connection::serve(listener, tls, service, limits, runtimes, lifecycle));
    }

    /// Takes over what the config file changes to.
    fn follow(&self, file: ConfigFile, loaded: Vec<u8>, of_config: Tree) {
        let (counts, wanted) = (Arc::clone(&self.reloads), Arc::clone(&self.reload_wanted));
        let reload = Reload::new(file, loaded, of_config, self.publisher.clone(), counts, wanted);
        self.lifecycle.spawn(reload.run());
    }
}

/// All routes. What comes with a source of tokens never takes the place of what the metadata has.
fn router(publisher: Publisher, tokens: TokenSources, options: RouterOptions, routes: Vec<Route>) -> Router {
    routes.into_iter().fold(Router::with_options(publisher, tokens, options), |router, (path, endpoint)| {
        router.with_route(path, endpoint).unwrap_or_else(|(router, conflict)| {
            tracing::error!(path, "left out: {conflict}");
            router
        })
    })
}

/// The config file that is followed, and what was read of it.
type Followed = (ConfigFile, Vec<u8>);

/// The metadata, and the file that it came from, with its content.
fn read(served: Served, overrides: Overrides) -> Result<(Metadata, Option<Followed>), StartError> {
    match served {
        Served::Given(metadata) => Ok((overrides.apply(metadata), None)),
        Served::File(path) => {
            let file = ConfigFile::new(path, overrides);
            let bytes = file.read()?;
            Ok((file.parse(&bytes)?, Some((file, bytes))))
        }
    }
}

async fn bind_if_any(place: Option<Place>) -> Result<Option<(Listener, Address)>, StartError> {
    match place {
        Some(place) => bind(place).await.map(Some),
        None => Ok(None),
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
