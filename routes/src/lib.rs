//! The metadata of a Google Compute Engine VM: its tree, the routes to its nodes, and the ports of token sources.
//!
//! - [`Metadata`] is the metadata of a VM as JSON, such as the dump of a real one. [`Metadata::tree`] builds the [`Tree`] from it.
//! - [`Dump`] is that JSON while it is put together from the answers of a server.
//! - [`Publisher`] holds the current tree and changes it; [`Reader`] reads it.
//! - [`OsLogin`] has the users and groups of OS Login. It is not part of the tree.
//! - [`Router`] is a [`tower::Service`] that answers a request with the node at its path.
//!   [`RenderLayer`](gce_metadata_layers::RenderLayer) renders that node.
//! - [`endpoint`] has the types for an endpoint of your own, which [`Router::with_route`] adds; [`RouterOptions`] has the options.
//! - [`GuestAttributes`] holds the values that guests have written.
//! - [`token`] has the requests, answers and errors of token sources.
//!
//! There is one tree, and one place that renders it. So every published node is listed, rendered in every form, has an entity tag, and
//! can be waited for. Separate endpoints serve values that are computed for each request, take writes of guests, and answer paths
//! for which the tree has no node.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(clippy::return_self_not_must_use)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod accounts;
mod depth;
mod dump;
pub mod endpoint;
mod memo;
mod metadata;
mod options;
mod os_login;
mod paths;
mod router;
mod sample;
mod schema;
mod snapshot;
pub mod token;
mod tree;
mod v1;

pub use accounts::ServiceAccount;
pub use dump::Dump;
pub use endpoint::{NoMaintenance, SaveGuestAttributes, SharedNoMaintenance};
pub use metadata::{Finding, Metadata, MetadataError, Severity, Walk, nearest};
pub use options::RouterOptions;
pub use os_login::OsLogin;
pub use paths::{V1, below_v1};
pub use router::{Outcome, ResponseFuture, RouteConflict, Router, RouterChanges};
pub use snapshot::{PathSubscription, Publisher, Reader, Snapshot};
pub use token::TokenSources;
pub use tree::{Array, Dir, EditError, GuestAttributes, Leaf, Node, OutlineNode, Tree};
