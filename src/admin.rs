//! The admin API: a listener of its own that shows and changes what the server serves.
//!
//! `router.rs` is the table of paths and methods. Each resource is a file of functions that answer one [`Call`]. `service.rs` composes
//! the layers around them; the checks of a request are the files of `guard/`.

mod call;
mod events;
mod export;
mod guard;
mod lifecycle;
mod mappings;
mod metadata;
mod near_misses;
mod options;
mod page;
mod problem;
mod requests;
mod router;
mod scenarios;
mod service;
mod settings;
mod status;
mod tokens;
mod tree;
mod verify;
mod waiters;

pub use options::AdminOptions;
pub(crate) use service::service;

use crate::events::{Log, Waits};
use crate::journal::Journal;
use crate::readiness_check::ReadinessCheck;
use crate::scenarios::Scenarios;
use crate::server::Readiness;
use crate::vm::Vm;
use gce_metadata_layers::AllowedHosts;
use gce_metadata_support::Secret;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The state that the resources show and change.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(crate) vm: Vm,
    /// `None` without a journal.
    pub(crate) journal: Option<Journal>,
    pub(crate) log: Log,
    /// The requests that wait for a change.
    pub(crate) waits: Waits,
    pub(crate) scenarios: Scenarios,
    pub(crate) readiness: Readiness,
    pub(crate) readiness_check: ReadinessCheck,
    /// The variables that direct clients to this server.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) started: Instant,
    /// Cancelled by a request for a shutdown.
    pub(crate) shutdown: CancellationToken,
    /// Cancelled when this listener stops, after the last request to the others.
    pub(crate) stop: CancellationToken,
}

/// The checks of requests.
#[derive(Debug)]
pub(crate) struct Security {
    /// The allowed values of `Host`.
    pub(crate) hosts: AllowedHosts,
    pub(crate) token: Option<Secret>,
    /// Whether the listener is a Unix socket, whose clients must be this user or root.
    pub(crate) is_unix: bool,
}
