//! The settings that every credentials file is opened with.

use super::error::Problem;
use super::loaded::LoadedCredentials;
use super::options::{AccessTokenKind, AwsEnvironment, Endpoints};
use super::upstream::Upstream;
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::TpmOptions;
use std::path::PathBuf;

/// The settings that every credentials file is opened with.
#[derive(Clone)]
pub(super) struct OpenContext {
    pub(super) upstream: Upstream,
    pub(super) endpoints: Endpoints,
    pub(super) kind: Option<AccessTokenKind>,
    pub(super) allow_executables: bool,
    pub(super) withheld_variables: Vec<String>,
    pub(super) certificate_config: Option<PathBuf>,
    pub(super) aws: AwsEnvironment,
    #[cfg(feature = "tpm")]
    pub(super) tpm: TpmOptions,
    /// The account of a key without an e-mail.
    pub(super) key_email: Option<String>,
    /// The remedy for a key without an e-mail.
    pub(super) key_email_hint: String,
    /// Whether the credentials only serve to impersonate the account of each request.
    pub(super) acts_as_any: bool,
    /// The only type that is accepted, at start and at each reload.
    pub(super) expected: Option<ExpectedType>,
}

/// A type of credentials.
#[derive(Clone)]
pub(super) struct ExpectedType {
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    pub(super) in_words: &'static str,
}

impl ExpectedType {
    pub(super) fn check(&self, loaded: LoadedCredentials) -> Result<LoadedCredentials, Problem> {
        match loaded.credential_type == self.credential_type {
            true => Ok(loaded),
            false => Err(format!("credentials of another type; {} is expected here", self.in_words).into()),
        }
    }
}
