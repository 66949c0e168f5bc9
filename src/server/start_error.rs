//! Errors of starting a server, with their remedies.

use super::tls::TlsError;
use crate::config::ConfigError;
use crate::guest_attributes::GuestAttributesError;
use crate::simulation::SimulationError;
use gce_metadata_layers::InvalidHost;
use gce_metadata_routes::RouteConflict;
use gce_metadata_tokens::SourceError;
use std::io;

/// Error of starting a server or opening a [`Vm`](crate::Vm). Nothing runs after it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The config file can't be read or is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A simulation can't be used, or a run of it can't be started.
    #[error("simulation: {0}")]
    Simulation(SimulationError),
    /// The file of guest attributes can't be read or written.
    #[error("guest attributes: {0}")]
    GuestAttributes(GuestAttributesError),
    /// A name of [`ServerBuilder::allow_host`](crate::ServerBuilder::allow_host) is not a host name.
    #[error("allowed hosts: {0}")]
    Host(InvalidHost),
    /// A route of [`ServerBuilder::with_route`](crate::ServerBuilder::with_route) conflicts with another.
    #[error("{0}")]
    Route(RouteConflict),
    /// A thread for blocking work could not be started, or the work panicked.
    #[error("{0}")]
    Blocking(io::Error),
    /// The certificates for HTTPS can't be used.
    #[error("HTTPS: {0}")]
    Tls(TlsError),
    /// The token source can't be opened.
    #[error(transparent)]
    Tokens(#[from] SourceError),
    /// The threads of the server can't be started.
    #[error(
        "can't start threads for connections: {0}; ask for fewer of them (--threads), or raise the limits of this user (ulimit -n, ulimit -u) or container"
    )]
    Threads(io::Error),
    /// The path of the metrics is also the path of another page of the metrics listener.
    #[error("metrics: {path} is the path of another page; choose another one, such as /metrics")]
    MetricsPath {
        /// The path.
        path: String,
    },
    /// The token of the admin API can't be sent in a header.
    #[error("admin: the token is empty or has characters other than visible ASCII")]
    AdminToken,
    /// Other machines can reach the admin listener, and it has no token.
    #[error(
        "admin: {address} is reachable from other machines: set a token (--admin-token-file or GCE_METADATA_ADMIN_TOKEN), or listen \
         at 127.0.0.1"
    )]
    AdminExposed {
        /// The address.
        address: String,
    },
    /// The address can't be resolved, or the socket can't be bound.
    #[error("can't listen at {address}: {error}{}", remedy(option, address, error))]
    Listen {
        /// The program's option that sets the address.
        option: &'static str,
        /// The address: resolved if it could be resolved, or `unix:` and the path.
        address: String,
        /// Why.
        error: io::Error,
    },
}

// Written out because `#[from]` would set a source, and a printed chain of errors would say it twice.
impl From<SimulationError> for StartError {
    fn from(error: SimulationError) -> Self {
        Self::Simulation(error)
    }
}

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
            return format!("; stop the other process, or choose another port ({option} 0 takes any free port)");
        }
        (io::ErrorKind::PermissionDenied, true) => "choose a folder that this user may write to",
        (io::ErrorKind::PermissionDenied, false) => "choose a port from 1024 on, or grant CAP_NET_BIND_SERVICE",
        (io::ErrorKind::AddrNotAvailable, _) => "no interface of this machine has that address",
        (io::ErrorKind::NotFound, true) => "make the folder first",
        (io::ErrorKind::InvalidInput, false) => "write it as HOST:PORT",
        _ => return String::new(),
    };
    format!("; {remedy}")
}
