//! An emulator of Google Compute Engine's metadata server, as a server, a [tower](https://docs.rs/tower) service, or single
//! layers.
//!
//! # A server in a test
//!
//! [`Server`] runs in this process, on a free port by default. It has its own thread, so the test may block. An async test uses
//! [`start`](ServerBuilder::start) and [`shutdown`](Server::shutdown). A plain `#[test]` uses
//! [`start_blocking`](ServerBuilder::start_blocking) and [`shutdown_blocking`](Server::shutdown_blocking).
//!
//! ```
//! use gce_metadata_server::{Metadata, Server};
//! use std::process::Command;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::builder().metadata(Metadata::sample()).access_token("ya29.made-up").start_blocking()?;
//! // Google's client libraries find the server by these environment variables.
//! let program = Command::new("true").envs(server.env()).status()?;
//! // Wakes the clients that wait for a change of this value.
//! server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")?;
//! # assert!(program.success());
//! # Ok(()) }
//! ```
//!
//! # A service in an application
//!
//! [`metadata_stack`] is the whole metadata server as one [`tower::Service`], to mount in an HTTP server that exists already.
//! [`Stack`] is the same service with more settings. [`Vm`] is one virtual machine: its metadata, tokens and guest attributes. An
//! application may open several, for example one for each caller.
//!
//! # Extending
//!
//! - A layer: [`ServerBuilder::layer`] and [`Stack::layer`] add a [`tower::Layer`] between the checks of a request and its answer.
//! - An endpoint: [`ServerBuilder::with_route`] adds a [`routes::endpoint::Endpoint`].
//! - A token source: [`ServerBuilder::token_sources`] takes [`tower::Service`]s that make tokens.
//! - A source of changes: a task that holds a [`Publisher`] edits the metadata at run time.
//!
//! The folder `examples/` of the repository has a program for each.
//!
//! # Crates
//!
//! This crate has the server, HTTPS, the config file, metrics, and the program. It re-exports the others, so that one dependency is
//! enough:
//!
//! | module | crate | contents |
//! |---|---|---|
//! | [`layers`] | `gce-metadata-layers` | tower middleware for any HTTP service: headers, entity tags, long polls, rate limits |
//! | [`routes`] | `gce-metadata-routes` | the metadata tree, its [`Publisher`], the [`Router`], the interface of token sources |
//! | [`tokens`] | `gce-metadata-tokens` | token sources: fixed, offline, live; the token cache |
//! | [`signer`] | `gce-metadata-signer` | RS256 signatures with a key in memory or in a TPM |
//!
//! # Features
//!
//! Without any feature, the crate has the offline issuer, fixed tokens, HTTP, HTTPS and metrics.
//!
//! - `cli` (default): the program. It includes `live`. A library turns it off with `default-features = false`.
//! - `live`: tokens that Google accepts, by service account keys, impersonation and federation (`LiveOptions`). It adds an HTTPS
//!   client.
//! - `tpm`: service account keys in a Trusted Platform Module. It includes `live`, and links tpm2-tss, which must be installed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct EmbeddingExamples;

#[cfg(doctest)]
#[doc = include_str!("../docs/assertions.md")]
struct AssertionExamples;

#[cfg(doctest)]
#[doc = include_str!("../docs/faults.md")]
struct FaultExamples;

#[cfg(doctest)]
#[doc = include_str!("../docs/journal.md")]
struct JournalExamples;

#[cfg(doctest)]
#[doc = include_str!("../docs/scenarios.md")]
struct ScenarioExamples;

#[cfg(doctest)]
#[doc = include_str!("../docs/readiness.md")]
struct ReadinessExamples;

mod admin;
mod answer_delay;
mod blocking;
#[cfg(test)]
mod captured_log;
pub mod certs;
mod config;
mod date;
mod events;
mod faults;
mod files;
mod guest_attributes;
mod hosts;
mod journal;
mod json_pointer;
mod metrics;
mod rate_limits;
mod readiness_check;
mod reload;
mod request_pattern;
mod scenarios;
mod server;
mod stack;
mod trace;
mod vm;

pub use admin::AdminOptions;
pub use answer_delay::{AnswerDelay, AnswerDelays, DelayDistribution};
pub use config::{
    ConfigDocument, ConfigError, ConfigFile, Diagnostic, Environment, EnvironmentError, Overrides, Variables,
};
pub use faults::{Fault, FaultError, FaultGuard, FaultStatus, Faults};
pub use gce_metadata_layers as layers;
pub use gce_metadata_routes as routes;
pub use gce_metadata_routes::{Metadata, NoMaintenance, Publisher, Reader, Router, TokenSources};
pub use gce_metadata_signer as signer;
pub use gce_metadata_tokens as tokens;
#[cfg(feature = "live")]
pub use gce_metadata_tokens::{AccessTokenKind, AwsEnvironment, CredentialError, Endpoints, LiveOptions, LiveSource};
pub use gce_metadata_tokens::{
    CacheHits, CacheTokens, CacheTokensLayer, CredentialSource, Credentials, FetchError, OfflineOptions, SourceError,
    Token, TokenControl, TokenEvents, TokenOutcome, TokenRequest,
};
pub use guest_attributes::GuestAttributesError;
pub use journal::{
    ExpectationGuard, Expectations, ExpectationsError, MatchingRequests, ReceivedRequest, Requests, Times,
    UnmetExpectation,
};
pub use reload::ReloadCounts;
pub use request_pattern::{Matching, PatternError};
pub use scenarios::{EndReason, ScenarioBuilder, ScenarioError, ScenarioEvent, ScenarioRun, Scenarios, Signal};
pub use server::{
    Address, Certificates, IncomingBody, MdsFolder, MtlsOptions, NotReady, Readiness, ReadinessError, Server,
    ServerBuilder, StartError, TlsError,
};
pub use stack::{InnerService, Stack, metadata_stack};
pub use vm::{Vm, VmBuilder, VmTasks};
