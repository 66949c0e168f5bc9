//! The environment variables. No other file reads them.

use super::variables::Variables;
use gce_metadata_routes::Metadata;
use gce_metadata_routes::token::Secret;
#[cfg(feature = "live")]
use gce_metadata_tokens::AwsEnvironment;
use gce_metadata_tokens::CredentialSource;
use std::env::VarError;
use std::path::{Path, PathBuf};

const NUMBER: &str = "GOOGLE_NUMERIC_PROJECT_ID";
const ACCOUNT: &str = "GOOGLE_SERVICE_ACCOUNT";
const KEY_PASSWORD: &str = "GCE_METADATA_KEY_PASS";
const PARENT_PASSWORD: &str = "GCE_METADATA_PARENT_PASS";
const PKCS11_PIN: &str = "GCE_METADATA_PKCS11_PIN";

/// Values that override those of the config at each load.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// Overrides `project/project-id`: `GOOGLE_PROJECT_ID`.
    pub project_id: Option<String>,
    /// Overrides `project/numeric-project-id`: `GOOGLE_NUMERIC_PROJECT_ID`. A value that is not a number is served as a string.
    pub numeric_project_id: Option<String>,
    /// Overrides the e-mail of the default service account: `GOOGLE_SERVICE_ACCOUNT`.
    pub service_account: Option<String>,
    /// E-mail of the default service account if the config has no account.
    pub fallback_account: Option<String>,
    /// Adds a default service account if the config has no account and [`fallback_account`](Self::fallback_account) is not set. Its
    /// e-mail is that of the Compute Engine default service account of the project.
    pub adds_default_account: bool,
}

impl Overrides {
    /// Applies the overrides to metadata.
    pub fn apply(&self, mut metadata: Metadata) -> Metadata {
        if let Some(id) = &self.project_id {
            metadata = metadata.with_project_id(id);
        }
        if let Some(id) = &self.numeric_project_id {
            metadata = match id.parse() {
                Ok(number) => metadata.with_numeric_project_id(number),
                Err(_) => metadata.with_project("numericProjectId", id.as_str()),
            };
        }
        if let Some(email) = &self.service_account {
            metadata = metadata.with_service_account(email);
        }
        match &self.fallback_account {
            _ if metadata.has_service_account() => metadata,
            Some(email) => metadata.with_service_account(email),
            None if self.adds_default_account => {
                let metadata = metadata.with_default_service_account();
                let email = metadata.tree().service_account("default").map(|account| account.email.clone());
                tracing::warn!(
                    "the metadata has no service account: tokens are served for {}; add the account to the config, or set {ACCOUNT}",
                    email.unwrap_or_default()
                );
                metadata
            }
            None => metadata,
        }
    }

    /// Completes these settings with those of the token source: the e-mail of its account, and whether only the default account
    /// gets its tokens.
    pub(crate) fn with_source(self, email: Option<&str>, is_for_default_account: bool) -> Self {
        let fallback_account = self.fallback_account.or(email.map(str::to_owned));
        let adds_default_account = self.adds_default_account || is_for_default_account;
        Self { fallback_account, adds_default_account, ..self }
    }

    /// A warning for the log about an unusual value.
    pub(crate) fn warning(&self) -> Option<String> {
        let id = self.numeric_project_id.as_ref().filter(|id| id.parse::<u64>().is_err())?;
        Some(format!("{NUMBER} is `{id}`: project numbers have digits only, and clients may not accept this one"))
    }
}

/// The environment variables of a server.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Environment {
    /// The config in JSON: `GCE_METADATA_CONFIG`. It may contain private keys.
    pub config: Option<Secret>,
    /// Overrides of the config.
    pub overrides: Overrides,
    /// Fixed tokens: `GOOGLE_ACCESS_TOKEN`, `GOOGLE_ID_TOKEN`. `None` if neither is set.
    pub fixed_tokens: Option<CredentialSource>,
    /// Application Default Credentials: `GOOGLE_APPLICATION_CREDENTIALS`, or gcloud's file if it exists.
    pub application_credentials: Option<PathBuf>,
    /// Whether credentials may run a program: `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` is 1.
    pub allow_executables: bool,
    /// Certificate configuration of a federated workload: `GOOGLE_API_CERTIFICATE_CONFIG`, or gcloud's file.
    pub certificate_config: Option<PathBuf>,
    /// Identity of a federated workload on AWS: `AWS_REGION`, `AWS_ACCESS_KEY_ID` and so on.
    #[cfg(feature = "live")]
    pub aws: AwsEnvironment,
    /// Password of a TPM key: `GCE_METADATA_KEY_PASS`.
    pub key_password: Option<Secret>,
    /// Password of the parent of a TPM key: `GCE_METADATA_PARENT_PASS`.
    pub parent_password: Option<Secret>,
    /// PIN of a PKCS#11 token: `GCE_METADATA_PKCS11_PIN`.
    pub pkcs11_pin: Option<Secret>,
    /// Log filter: `RUST_LOG`.
    pub log_filter: Option<String>,
    /// The address by which clients find the metadata server, as `HOST` or `HOST:PORT`: `GCE_METADATA_HOST`.
    pub metadata_host: Option<String>,
    /// The URL of the admin API that commands use: `GCE_METADATA_ADMIN`.
    pub admin_url: Option<String>,
    /// Token of the admin API: `GCE_METADATA_ADMIN_TOKEN`.
    pub admin_token: Option<Secret>,
    /// All variables of this process.
    pub variables: Variables,
}

/// The value of an environment variable is not UTF-8.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: not UTF-8")]
pub struct EnvironmentError {
    name: &'static str,
}

impl Environment {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// If the value of a variable is not UTF-8.
    #[allow(clippy::disallowed_methods)]
    pub fn read() -> Result<Self, EnvironmentError> {
        let environment = Self::from(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(EnvironmentError { name }),
        })?;
        Ok(Self { variables: Variables::read(), ..environment })
    }

    /// An empty variable counts as unset: containers are started with `-e NAME=$NOT_SET`.
    fn from(
        variable: impl Fn(&'static str) -> Result<Option<String>, EnvironmentError>,
    ) -> Result<Self, EnvironmentError> {
        let get = |name| variable(name).map(|value| value.filter(|value| !value.is_empty()));
        let secret = |name| get(name).map(|value| value.map(Secret::from));
        let (access_token, id_token) = (secret("GOOGLE_ACCESS_TOKEN")?, secret("GOOGLE_ID_TOKEN")?);
        let has_tokens = access_token.is_some() || id_token.is_some();
        let home = get("HOME")?.map(|home| Path::new(&home).join(".config/gcloud"));
        let gcloud = get("CLOUDSDK_CONFIG")?.map(PathBuf::from).or(home);
        let gcloud_file = |name: &str| gcloud.as_ref().map(|folder| folder.join(name));
        let well_known = gcloud_file("application_default_credentials.json").filter(|file| file.exists());
        Ok(Self {
            application_credentials: get("GOOGLE_APPLICATION_CREDENTIALS")?.map(PathBuf::from).or(well_known),
            allow_executables: get("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES")?.as_deref() == Some("1"),
            certificate_config: get("GOOGLE_API_CERTIFICATE_CONFIG")?
                .map(PathBuf::from)
                .or_else(|| gcloud_file("certificate_config.json")),
            #[cfg(feature = "live")]
            aws: {
                let mut aws = AwsEnvironment::default();
                aws.region = get("AWS_REGION")?.or(get("AWS_DEFAULT_REGION")?);
                aws.access_key_id = get("AWS_ACCESS_KEY_ID")?;
                aws.secret_access_key = secret("AWS_SECRET_ACCESS_KEY")?;
                aws.session_token = secret("AWS_SESSION_TOKEN")?;
                aws
            },
            config: secret("GCE_METADATA_CONFIG")?,
            overrides: Overrides {
                project_id: get("GOOGLE_PROJECT_ID")?,
                numeric_project_id: get(NUMBER)?,
                service_account: get(ACCOUNT)?,
                ..Overrides::default()
            },
            fixed_tokens: has_tokens.then_some(CredentialSource::Fixed { access_token, id_token }),
            key_password: secret(KEY_PASSWORD)?,
            parent_password: secret(PARENT_PASSWORD)?,
            pkcs11_pin: secret(PKCS11_PIN)?,
            log_filter: get("RUST_LOG")?,
            metadata_host: get("GCE_METADATA_HOST")?,
            admin_url: get("GCE_METADATA_ADMIN")?,
            admin_token: secret("GCE_METADATA_ADMIN_TOKEN")?,
            variables: Variables::default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let value = |name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Environment::from(|name| Ok(value(name))).unwrap()
    }

    #[test]
    fn empty_variables_override_nothing() {
        let environment = environment(&[("GOOGLE_PROJECT_ID", ""), ("GOOGLE_ACCESS_TOKEN", "")]);
        assert_eq!(environment.overrides, Overrides::default());
        assert!(environment.fixed_tokens.is_none());
    }

    #[test]
    fn one_fixed_token_is_enough() {
        let environment = environment(&[("GOOGLE_ID_TOKEN", "e30.e30.")]);
        let Some(CredentialSource::Fixed { access_token: None, id_token: Some(token) }) = environment.fixed_tokens
        else {
            panic!("{:?}", environment.fixed_tokens)
        };
        assert_eq!(token.expose(), "e30.e30.");
    }

    #[cfg(feature = "live")]
    #[test]
    fn executables_do_not_inherit_key_passwords() {
        use gce_metadata_tokens::{LiveOptions, LiveSource};
        let options = LiveOptions::new(LiveSource::Federate { path: "workload.json".into() });
        assert_eq!(options.withheld_variables, [KEY_PASSWORD, PARENT_PASSWORD, PKCS11_PIN]);
    }

    /// As the README of the Go emulator shows.
    #[test]
    fn a_project_number_with_letters_is_served_with_a_warning() {
        let overrides = environment(&[(NUMBER, "some_project_number")]).overrides;
        let tree = overrides.apply(Metadata::sample()).tree();
        assert_eq!(tree.text("project/numeric-project-id").unwrap(), "some_project_number");
        assert!(overrides.warning().unwrap().starts_with("GOOGLE_NUMERIC_PROJECT_ID is `some_project_number`: "));

        let overrides = environment(&[(NUMBER, "42")]).overrides;
        assert_eq!(overrides.apply(Metadata::sample()).tree().get("project/numeric-project-id").unwrap().json(), "42");
        assert_eq!(overrides.warning(), None);
    }

    #[test]
    fn a_variable_that_is_not_utf_8_is_an_error_with_its_name() {
        let error = Environment::from(|name| Err(EnvironmentError { name })).unwrap_err();
        assert_eq!(error.to_string(), "environment variable GOOGLE_ACCESS_TOKEN: not UTF-8");
    }
}
