//! The settings with which credentials are opened.

use super::error::Problem;
use super::loaded::LoadedCredentials;
use super::options::{AccessTokenKind, AwsEnvironment, Endpoints};
use super::upstream::Upstream;
#[cfg(feature = "pkcs11")]
use gce_metadata_signer::pkcs11::Pkcs11Options;
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::TpmOptions;
use gce_metadata_support::workers::Workers;
use std::path::PathBuf;

/// The settings with which credentials are opened.
#[derive(Clone)]
pub(super) struct OpenContext {
    pub(super) upstream: Upstream,
    /// The threads that sign with keys in memory.
    pub(super) workers: Workers,
    pub(super) endpoints: Endpoints,
    pub(super) kind: Option<AccessTokenKind>,
    pub(super) allow_executables: bool,
    pub(super) withheld_variables: Vec<String>,
    pub(super) certificate_config: Option<PathBuf>,
    pub(super) aws: AwsEnvironment,
    #[cfg(feature = "tpm")]
    pub(super) tpm: TpmOptions,
    #[cfg(feature = "pkcs11")]
    pub(super) pkcs11: Pkcs11Options,
    /// The PKCS#11 module of credentials files that name none.
    #[cfg(feature = "pkcs11")]
    pub(super) pkcs11_module: Option<PathBuf>,
    /// The account of a key without an e-mail.
    pub(super) key_email: Option<String>,
    /// The remedy for a key without an e-mail, for its error.
    pub(super) key_email_hint: String,
    /// Whether the credentials impersonate the account of each request.
    pub(super) acts_as_any: bool,
    /// The only accepted type, at start and at each reload.
    pub(super) expected: Option<ExpectedType>,
}

/// The expected type of credentials.
#[derive(Clone)]
pub(super) struct ExpectedType {
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    /// The type in words, for the error.
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
