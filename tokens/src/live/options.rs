//! The options of the live source: the credentials, and how tokens are made with them.

use gce_metadata_routes::token::Secret;
#[cfg(feature = "pkcs11")]
use gce_metadata_signer::pkcs11::{Pkcs11Key, Pkcs11Options};
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::{TpmKey, TpmOptions};
use std::path::PathBuf;

/// The environment variables of passwords.
const PASSWORDS: [&str; 3] = ["GCE_METADATA_KEY_PASS", "GCE_METADATA_PARENT_PASS", "GCE_METADATA_PKCS11_PIN"];

/// The options of the live source. Make them with [`new`](Self::new), then set fields.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveOptions {
    /// The credentials.
    pub source: LiveSource,
    /// How a service account key makes access tokens. By default [`Oauth`](AccessTokenKind::Oauth) for a key in a file,
    /// and [`Jwt`](AccessTokenKind::Jwt) for a key in a TPM or a PKCS#11 token.
    pub access_token_kind: Option<AccessTokenKind>,
    /// URLs that override those in the credentials.
    pub endpoints: Endpoints,
    /// Allows to run the program that executable-sourced credentials name. It runs in the runtime in which the
    /// credentials are opened.
    pub allow_executables: bool,
    /// Environment variables that such a program does not inherit. By default those in which the program
    /// `gce-metadata-server` reads the passwords of keys in a TPM, and the PIN of a PKCS#11 token.
    pub withheld_variables: Vec<String>,
    /// The path of gcloud's `certificate_config.json`, for credentials with `use_default_certificate_config`.
    pub certificate_config: Option<PathBuf>,
    /// The values of AWS' environment variables, for a workload on AWS.
    pub aws: AwsEnvironment,
    /// The TPM of the keys, and how their use is authorised.
    #[cfg(feature = "tpm")]
    pub tpm: TpmOptions,
    /// How PKCS#11 tokens are used.
    #[cfg(feature = "pkcs11")]
    pub pkcs11: Pkcs11Options,
    /// The PKCS#11 module of credentials files that name none.
    #[cfg(feature = "pkcs11")]
    pub pkcs11_module: Option<PathBuf>,
}

impl LiveOptions {
    /// The default options with these credentials.
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
            #[cfg(feature = "pkcs11")]
            pkcs11: Pkcs11Options::default(),
            #[cfg(feature = "pkcs11")]
            pkcs11_module: None,
        }
    }
}

/// The credentials of the live source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LiveSource {
    /// A service account's key, for the default account.
    Key {
        /// The path of a key in Google's JSON format, in bare PEM, of a TPM's key file, or of a file that names a key in a
        /// PKCS#11 token.
        path: PathBuf,
        /// The e-mail of the account, which bare PEM needs.
        email: Option<String>,
    },
    /// Credentials that may impersonate each account of the config.
    Impersonate {
        /// The path of Application Default Credentials of any type.
        path: PathBuf,
    },
    /// Application Default Credentials as they are, for the default account: usually workload identity federation.
    Federate {
        /// The path of credentials of any type, usually `external_account`.
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
        /// The path of the certificate and its intermediates in PEM.
        certificate: PathBuf,
        /// The audience: the full resource name of the provider in the workload identity pool.
        audience: String,
    },
    /// A service account's key in a PKCS#11 token, for the default account.
    #[cfg(feature = "pkcs11")]
    Pkcs11 {
        /// The key.
        key: Pkcs11Key,
    },
    /// A workload's certificate whose key is in a PKCS#11 token. Its identity impersonates the default account.
    #[cfg(feature = "pkcs11")]
    Pkcs11Federated {
        /// The key.
        key: Pkcs11Key,
        /// The path of the certificate and its intermediates in PEM.
        certificate: PathBuf,
        /// The audience: the full resource name of the provider in the workload identity pool.
        audience: String,
    },
    /// A credentials file for each account, listed in a JSON object of paths by e-mail or alias. Other accounts get no
    /// tokens.
    PerAccount {
        /// The path of the object's file. Paths in the object are relative to its folder.
        path: PathBuf,
    },
}

/// How a service account key makes access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokenKind {
    /// A signed assertion is exchanged for a token at the key's token endpoint.
    Oauth,
    /// The signed assertion is the token. This needs no request, and only Google's own APIs accept such a token.
    Jwt,
}

/// The values of AWS' environment variables. They take precedence over the metadata of the AWS instance.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AwsEnvironment {
    /// `AWS_REGION`, or `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<Secret>,
    /// `AWS_SESSION_TOKEN`.
    pub session_token: Option<Secret>,
}

/// URLs that override those in the credentials, for other universes, private endpoints and tests.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Endpoints {
    /// The token endpoint of keys and users, instead of `https://oauth2.googleapis.com/token`.
    pub token_url: Option<String>,
    /// The Security Token Service, instead of `https://sts.googleapis.com/v1/token`.
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
