//! Whose live tokens, and how they are had.

use super::{AccessTokenKind, AwsEnvironment};
#[cfg(feature = "tpm")]
use crate::signer::tpm::{TpmKey, TpmOptions};
use std::path::PathBuf;

/// How live tokens are had.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveOptions {
    /// Whose credentials.
    pub source: LiveSource,
    /// What a service account key's access tokens are, instead of what is usual: OAuth tokens for a key in a file, tokens of
    /// its own signature for a key in a TPM.
    pub access_token_kind: Option<AccessTokenKind>,
    /// URLs that override those of the credentials.
    pub endpoints: Endpoints,
    /// Whether a program that credentials name may be run. It runs in the runtime in which the credentials are opened.
    pub allow_executables: bool,
    /// gcloud's `certificate_config.json`.
    pub certificate_config: Option<PathBuf>,
    /// What AWS' own variables say, for a workload there.
    pub aws: AwsEnvironment,
    /// Where the TPM is that keys are in, and how they are used.
    #[cfg(feature = "tpm")]
    pub tpm: TpmOptions,
}

impl LiveOptions {
    /// The usual ways with this source.
    pub fn new(source: LiveSource) -> Self {
        Self {
            source,
            access_token_kind: None,
            endpoints: Endpoints::default(),
            allow_executables: false,
            certificate_config: None,
            aws: AwsEnvironment::default(),
            #[cfg(feature = "tpm")]
            tpm: TpmOptions::default(),
        }
    }
}

/// Whose credentials.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LiveSource {
    /// Those of a service account are the default account's.
    Key {
        /// A key as Google gives it out, or in bare PEM.
        path: PathBuf,
        /// Whose a bare one is.
        email: Option<String>,
    },
    /// Those of whoever may act as any account of the config.
    Impersonate {
        /// Application Default Credentials.
        path: PathBuf,
    },
    /// Those of an external account are the default account's.
    Federate {
        /// A file of `type` `external_account`.
        path: PathBuf,
    },
    /// Those of the service account whose key is in a TPM are the default account's.
    #[cfg(feature = "tpm")]
    Tpm {
        /// Which key.
        key: TpmKey,
    },
    /// A workload whose certificate's key is in a TPM: its identity acts as the default account.
    #[cfg(feature = "tpm")]
    TpmFederated {
        /// Which key.
        key: TpmKey,
        /// Its certificate in PEM, with those that lead to its root.
        certificate: PathBuf,
        /// The workload identity pool's provider that knows it.
        audience: String,
    },
    /// A file of their own for each account: a JSON object of files by e-mail or alias. The others have none.
    PerAccount {
        /// Where the object is. Relative paths in it begin at its folder.
        path: PathBuf,
    },
}

/// URLs that override those of the credentials, for other universes, private endpoints and tests.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Endpoints {
    /// The token endpoint of keys and of people, instead of `https://oauth2.googleapis.com/token`.
    pub token_url: Option<String>,
    /// The security token service, instead of `https://sts.googleapis.com/v1/token`.
    pub sts_url: Option<String>,
    /// The IAM Credentials API, instead of `https://iamcredentials.googleapis.com`.
    pub iam_url: Option<String>,
}

impl Endpoints {
    pub(super) fn token(&self, of_file: Option<String>) -> String {
        let given = self.token_url.clone().or(of_file);
        given.unwrap_or_else(|| "https://oauth2.googleapis.com/token".to_owned())
    }

    pub(super) fn sts(&self, of_file: Option<String>) -> Option<String> {
        self.sts_url.clone().or(of_file)
    }

    pub(super) fn iam(&self, of_file: Option<String>, universe: &str) -> String {
        let given = self.iam_url.clone().or(of_file);
        let url = given.unwrap_or_else(|| format!("https://iamcredentials.{universe}"));
        url.trim_end_matches('/').to_owned()
    }
}
