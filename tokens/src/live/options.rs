//! The options of live tokens: the credentials, and how tokens are made with them.

use gce_metadata_routes::token::Secret;
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::{TpmKey, TpmOptions};
use std::path::PathBuf;

/// The variables of passwords.
const PASSWORDS: [&str; 2] = ["GCE_METADATA_KEY_PASS", "GCE_METADATA_PARENT_PASS"];

/// How live tokens are made.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveOptions {
    /// The credentials.
    pub source: LiveSource,
    /// How a service account key makes access tokens. By default a key in a file exchanges them (OAuth), and a key in a TPM signs
    /// them itself (JWT).
    pub access_token_kind: Option<AccessTokenKind>,
    /// URLs that override those of the credentials.
    pub endpoints: Endpoints,
    /// Whether a program that credentials name may be run. It runs in the runtime in which the credentials are opened.
    pub allow_executables: bool,
    /// Environment variables that such a program does not inherit. By default those in which the program `gce-metadata-server` reads
    /// the passwords of keys in a TPM.
    pub withheld_variables: Vec<String>,
    /// gcloud's `certificate_config.json`.
    pub certificate_config: Option<PathBuf>,
    /// The values of AWS' own variables, for a workload there.
    pub aws: AwsEnvironment,
    /// The TPM that keys are in, and how the use of a key is authorised.
    #[cfg(feature = "tpm")]
    pub tpm: TpmOptions,
}

impl LiveOptions {
    /// The defaults, with these credentials.
    pub fn new(source: LiveSource) -> Self {
        Self {
            source,
            access_token_kind: None,
            endpoints: Endpoints::default(),
            allow_executables: false,
            withheld_variables: PASSWORDS.map(str::to_owned).into(),
            certificate_config: None,
            aws: AwsEnvironment::default(),
            #[cfg(feature = "tpm")]
            tpm: TpmOptions::default(),
        }
    }
}

/// The credentials that make live tokens.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LiveSource {
    /// A service account's key, for the default account.
    Key {
        /// A key in Google's JSON, or in bare PEM.
        path: PathBuf,
        /// The account of a bare key.
        email: Option<String>,
    },
    /// Credentials that may impersonate each account of the config.
    Impersonate {
        /// Application Default Credentials.
        path: PathBuf,
    },
    /// Workload identity federation, for the default account.
    Federate {
        /// A file of `type` `external_account`.
        path: PathBuf,
    },
    /// A service account's key in a TPM, for the default account.
    #[cfg(feature = "tpm")]
    Tpm {
        /// The key.
        key: TpmKey,
    },
    /// A workload's certificate whose key is in a TPM. Its identity impersonates the default account.
    #[cfg(feature = "tpm")]
    TpmFederated {
        /// The key.
        key: TpmKey,
        /// The certificate and its intermediates in PEM.
        certificate: PathBuf,
        /// The provider of the workload identity pool, as an audience.
        audience: String,
    },
    /// A credentials file for each account, from a JSON object of paths by e-mail or alias. Other accounts have none.
    PerAccount {
        /// The file of the object. Paths in it are relative to its folder.
        path: PathBuf,
    },
}

/// How a service account key makes access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokenKind {
    /// A signed assertion is exchanged for a token at the key's token endpoint.
    Oauth,
    /// The signed assertion is the token. No endpoint is asked, and Google's own APIs accept it.
    Jwt,
}

/// The values of AWS' own variables. They take precedence over the instance's metadata.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AwsEnvironment {
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`
    pub session_token: Option<Secret>,
}

/// URLs that override those of the credentials, for other universes, private endpoints and tests.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Endpoints {
    /// The token endpoint of keys and users, instead of `https://oauth2.googleapis.com/token`.
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
