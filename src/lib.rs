//! An emulator of Google Compute Engine's metadata server, to run, to embed, or to take apart.
//!
//! - [`Server`] runs one in this process: in a test, beside an application, or as the program of this package does.
//! - [`metadata_stack`] is the whole thing as one [`tower::Service`], for a server that exists already, and [`Stack`] the same
//!   with all that can be set.
//! - [`layers`] has each concern as a layer of its own, [`routes`] the metadata tree below them, [`tokens`] the sources of tokens,
//!   and [`signer`] the keys that sign. They are crates of their own; this one re-exports them.
//!
//! # Features
//!
//! - `live`: tokens that Google accepts, by keys, impersonation and federation (`LiveOptions`), and the HTTPS client for them.
//! - `tpm`: keys in a Trusted Platform Module. It has `live` in it, and links tpm2-tss, which must be installed.
//! - `cli`, on by default: the program. It has `live` in it, so a library's user who turns it off turns `live` on for tokens
//!   that Google accepts.
//!
//! Without any there are the offline issuer and fixed tokens, HTTP, HTTPS and metrics.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod blocking;
#[cfg(test)]
mod captured_log;
pub mod certs;
mod config;
mod files;
mod guest_attributes;
mod hosts;
mod metrics;
mod rate_limits;
mod reload;
mod server;
mod stack;
mod trace;
mod vm;

pub use config::{ConfigDocument, ConfigError, ConfigFile, Diagnostic, Environment, EnvironmentError, Overrides};
pub use gce_metadata_layers as layers;
pub use gce_metadata_routes as routes;
pub use gce_metadata_routes::{Metadata, NoMaintenance, Publisher, Reader, Router, TokenSources};
pub use gce_metadata_signer as signer;
pub use gce_metadata_tokens as tokens;
#[cfg(feature = "live")]
pub use gce_metadata_tokens::{AccessTokenKind, AwsEnvironment, CredentialError, Endpoints, LiveOptions, LiveSource};
pub use gce_metadata_tokens::{
    CacheHits, CacheTokens, CacheTokensLayer, CredentialSource, Credentials, FetchError, OfflineOptions, SourceError,
    Token, TokenEvents, TokenOutcome, TokenRequest,
};
pub use guest_attributes::GuestAttributesError;
pub use reload::ReloadCounts;
pub use server::{
    Address, Certificates, IncomingBody, MdsFolder, MtlsOptions, Server, ServerBuilder, StartError, TlsError,
};
pub use stack::{InnerService, Stack, metadata_stack};
pub use vm::{Vm, VmBuilder, VmTasks};
