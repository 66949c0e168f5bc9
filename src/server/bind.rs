//! The sockets of a server, bound before anything is written or served.

use super::builder::{MetricsOptions, Place};
use super::listener::{Address, Listener};
use super::start_error::StartError;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A socket that is listened at, and its address.
pub(super) struct Bound {
    pub(super) listener: Listener,
    pub(super) address: Address,
}

/// The sockets of a server.
pub(super) struct Sockets {
    pub(super) main: Bound,
    /// For HTTPS beside HTTP.
    pub(super) tls: Option<Bound>,
    pub(super) metrics: Option<Bound>,
}

impl Sockets {
    /// Binds all of them. An error names the option of the program that sets the address.
    pub(super) async fn bind(
        main: Place,
        tls: Option<SocketAddr>,
        metrics: Option<&MetricsOptions>,
    ) -> Result<Self, StartError> {
        Ok(Self {
            main: bind(main, "--port").await?,
            tls: bind_if_any(tls, "--tls-port").await?,
            metrics: bind_if_any(metrics.map(|metrics| metrics.address), "--metrics-port").await?,
        })
    }
}

async fn bind_if_any(address: Option<SocketAddr>, option: &'static str) -> Result<Option<Bound>, StartError> {
    match address {
        Some(address) => bind(Place::Tcp(address), option).await.map(Some),
        None => Ok(None),
    }
}

async fn bind(place: Place, option: &'static str) -> Result<Bound, StartError> {
    let (address, bound) = match place {
        Place::Tcp(address) => (address.to_string(), TcpListener::bind(address).await.map(Listener::Tcp)),
        Place::Listener(listener) => {
            ("the given listener".to_owned(), listener.and_then(TcpListener::from_std).map(Listener::Tcp))
        }
        Place::Unix { path, mode } => (format!("unix:{}", path.display()), Listener::unix(&path, mode).await),
    };
    let located = bound.and_then(|listener| Ok(Bound { address: listener.address()?, listener }));
    located.map_err(|error| StartError::Listen { option, address, error })
}
