//! Integration tests: the server as its clients see it, over sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, clippy::disallowed_methods)]

mod abort;
mod admin;
mod config_schema;
mod conformance;
mod default_account;
mod docs;
mod dump;
mod events;
mod faults;
mod growth;
mod guest_attributes;
mod journal;
mod listing_walk;
#[cfg(feature = "live")]
mod live;
#[cfg(feature = "cli")]
mod live_clients;
#[cfg(feature = "cli")]
mod live_program;
#[cfg(feature = "cli")]
mod live_secrets;
mod machines;
mod metrics_and_health;
mod mtls;
mod oslogin;
mod page;
mod prometheus;
mod protocol;
mod rate_limits;
mod readiness;
mod reload;
mod sample_keys;
mod scenarios;
mod simulation;
mod support;
mod threads;
mod token_requests;
#[cfg(feature = "tpm")]
mod tpm;
mod waiting;

#[cfg(feature = "cli")]
mod admin_commands;
#[cfg(feature = "cli")]
mod capture;
#[cfg(feature = "cli")]
mod certs_renew;
#[cfg(feature = "cli")]
mod clients;
#[cfg(feature = "cli")]
mod doctor;
#[cfg(feature = "cli")]
mod endpoint_options;
#[cfg(feature = "cli")]
mod exec;
#[cfg(feature = "cli")]
mod guests;
#[cfg(feature = "cli")]
mod image;
#[cfg(feature = "cli")]
mod kubernetes;
#[cfg(feature = "cli")]
mod mtls_clients;
#[cfg(all(feature = "cli", feature = "pkcs11"))]
mod pkcs11;
#[cfg(feature = "cli")]
mod program;
#[cfg(feature = "cli")]
mod recipes;
#[cfg(feature = "cli")]
mod systemd;
