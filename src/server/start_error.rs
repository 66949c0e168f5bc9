//! Why a server does not start, and what to do about it.

use super::tls::TlsError;
use crate::config::ConfigError;
use crate::guest_attributes::GuestAttributesError;
use gce_metadata_layers::InvalidHost;
use gce_metadata_routes::RouteConflict;
use gce_metadata_tokens::SourceError;
use std::io;

/// Why a server could not be started. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The config file can't be served.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file of guest attributes can't be read or written.
    #[error("guest attributes: {0}")]
    GuestAttributes(GuestAttributesError),
    /// A name of [`ServerBuilder::allow_host`](crate::ServerBuilder::allow_host) is not a host name.
    #[error("allowed hosts: {0}")]
    Host(InvalidHost),
    /// A route of [`ServerBuilder::with_route`](crate::ServerBuilder::with_route) conflicts with another.
    #[error("{0}")]
    Route(RouteConflict),
    /// Work that may block had no thread, or panicked.
    #[error("{0}")]
    Blocking(io::Error),
    /// HTTPS can't be served.
    #[error("HTTPS: {0}")]
    Tls(TlsError),
    /// The source of tokens can't be used.
    #[error(transparent)]
    Tokens(#[from] SourceError),
    /// The threads of the server can't be had.
    #[error(
        "can't start threads for connections: {0}; ask for fewer of them (--threads), or raise the limits of this user (ulimit -n, ulimit -u) or container"
    )]
    Threads(io::Error),
    /// The path of the metrics is that of another page of their listener.
    #[error("metrics: {path} is the path of another page; choose another one, such as /metrics")]
    MetricsPath {
        /// The path.
        path: String,
    },
    /// The socket can't be had.
    #[error("can't listen at {address}: {error}{}", remedy(option, address, error))]
    Listen {
        /// The program's option that says where.
        option: &'static str,
        /// The address, or `unix:` and the path.
        address: String,
        /// Why.
        error: io::Error,
    },
}

// Not by `#[from]`, which would name a source: whoever prints the chain would say it twice.
impl From<TlsError> for StartError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<RouteConflict> for StartError {
    fn from(conflict: RouteConflict) -> Self {
        Self::Route(conflict)
    }
}

impl From<InvalidHost> for StartError {
    fn from(error: InvalidHost) -> Self {
        Self::Host(error)
    }
}

impl From<GuestAttributesError> for StartError {
    fn from(error: GuestAttributesError) -> Self {
        Self::GuestAttributes(error)
    }
}

fn remedy(option: &str, address: &str, error: &io::Error) -> String {
    let remedy = match (error.kind(), address.starts_with("unix:")) {
        (io::ErrorKind::AddrInUse, true) => "stop the other process, or choose another path",
        (io::ErrorKind::AddrInUse, false) => {
            return format!("; stop the other process, or choose another place ({option} 0 takes any free port)");
        }
        (io::ErrorKind::PermissionDenied, true) => "choose a folder that this user may write to",
        (io::ErrorKind::PermissionDenied, false) => "choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE",
        (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has that address",
        (io::ErrorKind::NotFound, true) => "make the folder first",
        _ => return String::new(),
    };
    format!("; {remedy}")
}
