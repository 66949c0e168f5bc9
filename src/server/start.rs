//! From settings to a running server: everything is read, checked and bound before anything is served.

use super::advice::TokenAdvice;
use super::builder::{Place, Served, ServerBuilder, Tokens};
use super::connection::{self, ConnectionLimits, RequestBody};
use super::listener::{Address, Listener};
use super::open_connections::OpenConnections;
use super::runtimes::Runtimes;
use super::start_error::StartError;
use super::tls::{self, MdsClientCertificate, MtlsOptions, Opened};
use super::{Lifecycle, Server};
use crate::admin::Admin;
use crate::config::{ConfigFile, Overrides};
use crate::credentials::{Credentials, Route, SharedTokenEvents, SourceError};
use crate::guest_attributes::{self, Keeper, Lock};
use crate::hosts;
use crate::metrics::{Metrics, State};
use crate::rate_limits::EndpointLimits;
use crate::reload::Reload;
use crate::stack::Stack;
use bytes::Bytes;
use gce_metadata_layers::{AllowedPeers, LimitRateLayer, Waiters};
use gce_metadata_routes::{Metadata, Publisher, Router, RouterOptions, TokenSources, Tree};
use http_body_util::Full;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Few watch, and none for long.
const ADMIN_CONNECTIONS: usize = 64;

impl ServerBuilder {
    /// Checks everything, binds the sockets, and serves. Must be called in a tokio runtime. What is read of files, and what a
    /// TPM is asked to open a key, is waited for in place: where others use this thread, call it in one that may block.
    ///
    /// # Errors
    /// If the config, the key, a certificate, a socket or a thread can't be had.
    pub async fn start(self) -> Result<Server, StartError> {
        let connections = OpenConnections::at_most(self.most_connections);
        let limits = self.connection_limits(&connections);
        let admin_limits = self.connection_limits(&OpenConnections::at_most(ADMIN_CONNECTIONS));
        let hosts = hosts::allowed_with(&self.hosts, self.tokens.issuer())?;
        let token_advice = TokenAdvice::new(&self.tokens, &self.served);
        let doubt = self.overrides.doubt();
        // Nobody counts where nobody looks.
        let metrics = self.admin.is_some().then(Metrics::new);
        let rate_limits = self.enforces_rate_limits.then(EndpointLimits::of_gce);
        let credentials = open(self.tokens, metrics.as_ref(), rate_limits.as_ref())?;
        let Credentials { tokens, mut routes, info, default_email, attend, advice } = credentials;
        let (metadata, followed) = read(self.served, self.overrides.with_account_if_none(default_email))?;
        let of_config = metadata.tree();
        // Locked before it is read: another server could write it in between.
        let lock = self.guest_attributes.as_deref().map(Lock::acquire).transpose()?;
        let tree = match &self.guest_attributes {
            Some(path) => guest_attributes::restored(path, &of_config)?,
            None => of_config.clone(),
        };
        let (https_place, https) = self.mtls.unzip();
        let publisher = Publisher::with_computed(tree, https.as_ref().and_then(MtlsOptions::listed));
        let reader = publisher.reader();
        let (listener, address) = bind(self.place, "--port").await?;
        let (https_listener, https_address) = bind_if_any(https_place.flatten(), "--tls-port").await?.unzip();
        let (admin_place, metrics_path) = self.admin.map(|admin| (admin.address, admin.metrics_path)).unzip();
        let (admin_listener, admin_address) = bind_if_any(admin_place, "--metrics-port").await?.unzip();

        // What is left is threads and files. An error drops the server, which ends what of it has been started.
        let mut server = Server {
            tls_address: https_address.or_else(|| https.is_some().then(|| address.clone())),
            address,
            admin_address,
            publisher: publisher.clone(),
            keeper: None,
            lifecycle: Lifecycle::default(),
            watching: Lifecycle::default(),
            drain: self.drain,
            reloads: Arc::default(),
            reload_wanted: Arc::default(),
        };
        let runtimes = match self.threads {
            Some(count) => Runtimes::on_threads(count, &server.lifecycle.tasks).map_err(StartError::Threads)?,
            None => Runtimes::current(&server.lifecycle.tasks),
        };
        let keeper = match self.guest_attributes.zip(lock) {
            Some((path, lock)) => Some(Keeper::start(path, lock, reader.clone(), metrics.clone()).await?),
            None => None,
        };
        // The last that can fail: another server may be using the certificates that this replaces.
        let opened = https.map(|MtlsOptions { certificates, allowed }| {
            tls::open(certificates, reader.clone(), metrics.clone()).map(|opened| (opened, allowed))
        });
        let opened = opened.transpose().inspect_err(|_| keeper.iter().for_each(|keeper| keeper.remove_if_new()))?;
        let (tls, peers) = match opened {
            Some((Opened { tls, keep_fresh, mds_client_certificate }, allowed)) => {
                server.lifecycle.spawn(keep_fresh);
                routes.extend(mds_client_certificate.map(MdsClientCertificate::route));
                (Some(tls), allowed)
            }
            None => (None, AllowedPeers::everybody()),
        };
        let mut options = self.router;
        if let Some(keeper) = &keeper {
            server.keep_guest_attributes(Arc::clone(keeper));
            options.save_guest_attributes = self.guest_attributes_sync.then(|| Arc::clone(keeper).service());
        }

        let waiters = Waiters::at_most(self.most_waiters);
        let stack = Stack::new(reader.clone(), router(publisher, tokens, options, routes))
            .until(server.lifecycle.stop.clone())
            .waiters(waiters.clone())
            .metrics(metrics.clone())
            .hosts(hosts)
            .limits(rate_limits.map(LimitRateLayer::new));
        let (plain, encrypted) = match https_listener {
            None if tls.is_some() => (None, Some(listener)),
            beside => (Some(listener), beside),
        };
        let lifecycle = &server.lifecycle;
        if let Some(listener) = encrypted {
            let service = stack.clone().peers(peers).service::<RequestBody, Full<Bytes>>();
            connection::spawn(listener, tls, service, limits.clone(), runtimes.spread(), lifecycle);
        }
        if let Some(listener) = plain {
            token_advice.log_exposure(&server.address);
            let service = stack.service::<RequestBody, Full<Bytes>>();
            connection::spawn(listener, None, service, limits, runtimes, lifecycle);
        }
        if let Some(((listener, path), metrics)) = admin_listener.zip(metrics_path).zip(metrics) {
            let (stop, reloads) = (lifecycle.stop.clone(), Arc::clone(&server.reloads));
            let state = State { reader: reader.clone(), waiters, connections, reloads, info };
            let guest_attributes = keeper.clone();
            let service = Admin { metrics: metrics.clone(), metrics_path: path.into(), state, guest_attributes, stop };
            let here = Runtimes::current(&server.watching.tasks);
            connection::spawn(listener, None, service, admin_limits, here, &server.watching);
            server.watching.spawn(async move { metrics.keep_up().await });
        }
        if let Some(doubt) = doubt {
            tracing::warn!("{doubt}");
        }
        token_advice.log(advice);
        if let Some(attend) = attend {
            lifecycle.spawn(attend(reader));
        }
        if let Some((file, bytes)) = followed {
            server.follow(file, bytes, of_config);
        }
        Ok(server)
    }

    fn connection_limits(&self, connections: &OpenConnections) -> ConnectionLimits {
        ConnectionLimits {
            connections: connections.clone(),
            header_bytes: Self::HEADER_BYTES,
            header_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
        }
    }
}

impl Server {
    /// Writes the file of guest attributes whenever there are others.
    fn keep_guest_attributes(&mut self, keeper: Arc<Keeper>) {
        let Lifecycle { stop, abort, tasks } = self.lifecycle.clone();
        let keeping = Arc::clone(&keeper).keep(stop);
        tasks.spawn(async move { abort.run_until_cancelled(keeping).await });
        self.keeper = Some(keeper);
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

/// The source of tokens, if there is none yet.
fn open(
    tokens: Tokens,
    metrics: Option<&Metrics>,
    limits: Option<&EndpointLimits>,
) -> Result<Credentials, SourceError> {
    let events: SharedTokenEvents = match metrics {
        Some(metrics) => Arc::new(metrics.clone()),
        None => Arc::new(()),
    };
    match tokens {
        Tokens::From(source) => source.open_with(events, limits.map(|limits| Arc::clone(&limits.uncached_tokens))),
        Tokens::Given(tokens) => Ok(Credentials::given(tokens, &events)),
    }
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

async fn bind_if_any(
    address: Option<SocketAddr>,
    option: &'static str,
) -> Result<Option<(Listener, Address)>, StartError> {
    match address {
        Some(address) => bind(Place::Tcp(address), option).await.map(Some),
        None => Ok(None),
    }
}

/// A listener and where it is. The option is the one by which the program is told.
async fn bind(place: Place, option: &'static str) -> Result<(Listener, Address), StartError> {
    let (address, bound) = match place {
        Place::Tcp(address) => (address.to_string(), TcpListener::bind(address).await.map(Listener::Tcp)),
        Place::Listener(listener) => ("the given listener".to_owned(), Ok(Listener::Tcp(listener))),
        Place::Unix { path, mode } => (format!("unix:{}", path.display()), Listener::unix(&path, mode).await),
    };
    let located = bound.and_then(|listener| listener.address().map(|address| (listener, address)));
    located.map_err(|error| StartError::Listen { option, address, error })
}
