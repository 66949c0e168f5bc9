//! Internal helpers of the `gce-metadata-server` crates: [`Secret`], clocks, threads and file reads. Don't depend on
//! this crate: it has no stable API, and `gce-metadata-server`, `gce-metadata-routes` and `gce-metadata-signer`
//! re-export `Secret`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod secret;

// Public for the other crates of the workspace only, so hidden from the documentation.
#[doc(hidden)]
pub mod blocking;
#[doc(hidden)]
pub mod clock;
#[doc(hidden)]
pub mod duration;
#[doc(hidden)]
pub mod file;
#[doc(hidden)]
pub mod thread;
#[doc(hidden)]
pub mod workers;

pub use secret::Secret;
