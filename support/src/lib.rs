//! What the crates of `gce-metadata-server` share: [`Secret`], and a few helpers that are not meant for other users.
//!
//! It is the leaf of the workspace: it depends on no other crate of it, so that signers and routes can share a secret without
//! depending on each other.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod secret;

#[doc(hidden)]
pub mod blocking;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod file;
#[doc(hidden)]
pub mod thread;

pub use secret::Secret;
