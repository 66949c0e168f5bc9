//! An emulator of Google Compute Engine's metadata server, to run, to embed, or to take apart.
//!
//! - [`Server`] runs one in this process: in a test, beside an application, or as the program of this package does.
//! - [`metadata_stack`] is the whole thing as one [`tower::Service`], for a server that exists already.
//! - [`layers`] has each concern as a layer of its own, [`routes`] the metadata tree below them.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
pub mod certs;
mod config;
mod credentials;
mod files;
mod follow;
mod guest_attributes;
mod jws;
mod metrics;
mod rate_limits;
mod reload;
mod server;
pub mod signer;
mod stack;
#[cfg(feature = "tpm")]
mod threads;

pub use config::{ConfigError, ConfigFile, Environment, EnvironmentError, Overrides, Remark};
#[cfg(feature = "live")]
pub use credentials::{AccessTokenKind, AwsEnvironment, CredentialError, Endpoints, LiveOptions, LiveSource};
pub use credentials::{
    CacheHits, CacheTokens, CacheTokensLayer, CredentialSource, Credentials, Failure, OfflineOptions, SourceError,
    Token, TokenRequest,
};
pub use gce_metadata_layers as layers;
pub use gce_metadata_routes as routes;
pub use gce_metadata_routes::{Metadata, NoMaintenance, Publisher, Reader, TokenSources};
pub use guest_attributes::GuestAttributesError;
pub use reload::ReloadCounts;
pub use server::{Address, Certificates, MtlsOptions, Server, ServerBuilder, StartError, TlsError};
pub use stack::metadata_stack;
