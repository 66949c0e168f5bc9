//! From settings to a running server: everything is read, checked and bound before anything is served.

use super::builder::{AdminPlace, Place, Served, ServerBuilder, Tokens};
use super::connection::{self, ConnectionLimits};
use super::listener::{Address, Listener};
use super::runtimes::Runtimes;
use super::start_error::StartError;
use super::tls::{self, MdsClientCertificate, Opened, Tls};
use super::{Lifecycle, Server};
use crate::admin::Admin;
use crate::config::{ConfigFile, Overrides};
use crate::credentials::Credentials;
use crate::guest_attributes::{self, Keeper};
use crate::metrics::{Connections, Metrics, State};
use crate::rate_limits::EndpointLimits;
use crate::reload::{Reload, ReloadCounts};
use crate::stack::Stack;
use bytes::Bytes;
use gce_metadata_layers::{AllowedPeers, LimitRateLayer, Waiters};
use gce_metadata_routes::{Metadata, Publisher, Router};
use http_body_util::Full;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Few watch, and none for long.
const ADMIN_CONNECTIONS: usize = 64;

impl ServerBuilder {
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
        let (metadata, followed) = read(self.served, overrides)?;
        let of_config = metadata.tree();
        let tree = match &self.guest_attributes {
            Some(path) => guest_attributes::restored(path, &of_config)?,
            None => of_config.clone(),
        };
        let listed = self.mtls.as_ref().and_then(|(_, options)| options.listed());
        let publisher = Publisher::with_computed(tree, listed);
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
            lifecycle.spawn(keep_fresh);
        }

        let admin_address = admin.as_ref().map(|((_, address), _)| address.clone());
        if let Some((((listener, _), metrics_path), metrics)) = admin.zip(metrics) {
            let state = State { reader, waiters, connections, reloads: Arc::clone(&reloads), identity };
            let stop = lifecycle.stop.clone();
            let service = Admin { metrics: metrics.clone(), metrics_path: metrics_path.into(), state, stop };
            let limits = limits(&Connections::at_most(ADMIN_CONNECTIONS));
            let here = Runtimes::current(&lifecycle.tasks);
            lifecycle.tasks.spawn(connection::serve(listener, None, service, limits, here, lifecycle.clone()));
            lifecycle.spawn(async move { metrics.keep_up().await });
        }

        if let Some(doctor) = doctor {
            lifecycle.spawn(doctor.attend(publisher.reader()));
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
            lifecycle.spawn(reload.run());
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
