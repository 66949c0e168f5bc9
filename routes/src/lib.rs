//! The metadata of a Google Compute Engine VM: its tree, its routes, and the ports that its tokens come through.
//!
//! - [`Metadata`] is a VM as JSON, such as the dump of a real one. [`Metadata::tree`] makes the [`Tree`] of it.
//! - [`Publisher`] holds the current tree and is how it changes; a [`Reader`] is how it is read.
//! - [`OsLogin`] is who may log in to the VM; it stands beside the tree.
//! - [`Router`] is a [`tower::Service`] from a request to the node that its path names.
//!   [`RenderLayer`](gce_metadata_layers::RenderLayer) makes bytes of that.
//! - [`endpoint`] has what a route of your own is made of, for [`Router::with_route`]; [`RouterOptions`] says what is up to you.
//! - [`GuestAttributes`] is what guests have written.
//! - [`token`] says what a source of tokens is asked and what it answers.
//!
//! There is one tree, and one place that renders it. So what is published is listed, served in every form, with an entity
//! tag, and can be waited for. A route of its own is for the rest: what is computed for each request, what guests write, and
//! what has something to say where the tree has nothing.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(clippy::return_self_not_must_use)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

mod accounts;
mod depth;
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
pub use endpoint::{NoMaintenance, SaveGuestAttributes};
pub use metadata::{Finding, Metadata, MetadataError, Severity, Walk};
pub use options::RouterOptions;
pub use os_login::OsLogin;
pub use paths::{V1, below_v1};
pub use router::{Resolved, ResponseFuture, RouteConflict, Router};
pub use snapshot::{Publisher, Reader, Snapshot};
pub use token::TokenSources;
pub use tree::{Array, Dir, EditError, GuestAttributes, Leaf, Node, Tree};
