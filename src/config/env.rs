//! The environment: the only file that reads it.

use gce_metadata_routes::token::Secret;
use gce_metadata_routes::{Metadata, Node};
#[cfg(feature = "live")]
use gce_metadata_tokens::AwsEnvironment;
use gce_metadata_tokens::CredentialSource;
use std::env::VarError;
use std::path::{Path, PathBuf};

const NUMBER: &str = "GOOGLE_NUMERIC_PROJECT_ID";
const KEY_PASSWORD: &str = "GCE_METADATA_KEY_PASS";
const PARENT_PASSWORD: &str = "GCE_METADATA_PARENT_PASS";

/// Values that override those of any config, whenever it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Overrides {
    /// For `project/project-id`: `GOOGLE_PROJECT_ID`.
    pub project_id: Option<String>,
    /// For `project/numeric-project-id`: `GOOGLE_NUMERIC_PROJECT_ID`. It should be all digits; anything else is served as the
    /// string that it is.
    pub numeric_project_id: Option<String>,
    /// The e-mail of the default service account: `GOOGLE_SERVICE_ACCOUNT`.
    pub service_account: Option<String>,
    /// The default service account's e-mail where the config has no account at all.
    pub account_if_none: Option<String>,
}

impl Overrides {
    /// The metadata with the overrides in it.
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
        if let Some(email) = &self.account_if_none
            && has_no_account(&metadata)
        {
            metadata = metadata.with_service_account(email);
        }
        metadata
    }

    /// Also with this default service account for a config that has none at all, unless they have one for it.
    pub(crate) fn with_account_if_none(self, email: Option<String>) -> Self {
        Self { account_if_none: self.account_if_none.or(email), ..self }
    }

    /// A warning about a suspicious value, for the log.
    pub(crate) fn doubt(&self) -> Option<String> {
        let id = self.numeric_project_id.as_ref().filter(|id| id.parse::<u64>().is_err())?;
        Some(format!("{NUMBER} is `{id}`: a project number is all digits, and clients may expect one"))
    }
}

fn has_no_account(metadata: &Metadata) -> bool {
    match metadata.tree().get("instance/service-accounts").map(|node| &**node) {
        Some(Node::Dir(accounts)) => accounts.entries().next().is_none(),
        _ => true,
    }
}

/// What the environment says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Environment {
    /// Values that override those of the config.
    pub overrides: Overrides,
    /// The tokens it brings, if any: `GOOGLE_ACCESS_TOKEN`, `GOOGLE_ID_TOKEN`.
    pub fixed_tokens: Option<CredentialSource>,
    /// Application Default Credentials: `GOOGLE_APPLICATION_CREDENTIALS`, or gcloud's file if it is there.
    pub application_credentials: Option<PathBuf>,
    /// Whether a program that credentials name may be run: `GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES` is 1.
    pub allow_executables: bool,
    /// Which certificate a federated workload has: `GOOGLE_API_CERTIFICATE_CONFIG`, or gcloud's file.
    pub certificate_config: Option<PathBuf>,
    /// A workload's identity on AWS: `AWS_REGION`, `AWS_ACCESS_KEY_ID` and so on.
    #[cfg(feature = "live")]
    pub aws: AwsEnvironment,
    /// The password of a key in a TPM: `GCE_METADATA_KEY_PASS`.
    pub key_password: Option<Secret>,
    /// The password of its parent: `GCE_METADATA_PARENT_PASS`.
    pub parent_password: Option<Secret>,
    /// What to log: `RUST_LOG`.
    pub log_filter: Option<String>,
}

/// A variable that can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: not UTF-8")]
pub struct EnvironmentError {
    name: &'static str,
}

impl Environment {
    /// Reads this process' environment.
    ///
    /// # Errors
    /// If a variable can't be used.
    #[allow(clippy::disallowed_methods)]
    pub fn read() -> Result<Self, EnvironmentError> {
        Self::from(|name| match std::env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(EnvironmentError { name }),
        })
    }

    /// An empty variable counts as none: containers are started with `-e NAME=$NOT_SET`.
    fn from(
        variable: impl Fn(&'static str) -> Result<Option<String>, EnvironmentError>,
    ) -> Result<Self, EnvironmentError> {
        let get = |name| variable(name).map(|value| value.filter(|value| !value.is_empty()));
        let secret = |name| get(name).map(|value| value.map(Secret::from));
        let (access_token, id_token) = (secret("GOOGLE_ACCESS_TOKEN")?, secret("GOOGLE_ID_TOKEN")?);
        let has_tokens = access_token.is_some() || id_token.is_some();
        let home = get("HOME")?.map(|home| Path::new(&home).join(".config/gcloud"));
        let gcloud = get("CLOUDSDK_CONFIG")?.map(PathBuf::from).or(home);
        let of_gcloud = |name: &str| gcloud.as_ref().map(|folder| folder.join(name));
        let well_known = of_gcloud("application_default_credentials.json").filter(|file| file.exists());
        Ok(Self {
            application_credentials: get("GOOGLE_APPLICATION_CREDENTIALS")?.map(PathBuf::from).or(well_known),
            allow_executables: get("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES")?.as_deref() == Some("1"),
            certificate_config: get("GOOGLE_API_CERTIFICATE_CONFIG")?
                .map(PathBuf::from)
                .or_else(|| of_gcloud("certificate_config.json")),
            #[cfg(feature = "live")]
            aws: {
                let mut aws = AwsEnvironment::default();
                aws.region = get("AWS_REGION")?.or(get("AWS_DEFAULT_REGION")?);
                aws.access_key_id = get("AWS_ACCESS_KEY_ID")?;
                aws.secret_access_key = secret("AWS_SECRET_ACCESS_KEY")?;
                aws.session_token = secret("AWS_SESSION_TOKEN")?;
                aws
            },
            overrides: Overrides {
                project_id: get("GOOGLE_PROJECT_ID")?,
                numeric_project_id: get(NUMBER)?,
                service_account: get("GOOGLE_SERVICE_ACCOUNT")?,
                account_if_none: None,
            },
            fixed_tokens: has_tokens.then_some(CredentialSource::Fixed { access_token, id_token }),
            key_password: secret(KEY_PASSWORD)?,
            parent_password: secret(PARENT_PASSWORD)?,
            log_filter: get("RUST_LOG")?,
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
    fn nothing_set_overrides_nothing() {
        let environment = environment(&[("GOOGLE_PROJECT_ID", ""), ("GOOGLE_ACCESS_TOKEN", "")]);
        assert_eq!(environment.overrides, Overrides::default());
        assert!(environment.fixed_tokens.is_none());
    }

    #[test]
    fn either_token_alone_is_enough() {
        let environment = environment(&[("GOOGLE_ID_TOKEN", "e30.e30.")]);
        let Some(CredentialSource::Fixed { access_token: None, id_token: Some(token) }) = environment.fixed_tokens
        else {
            panic!("{:?}", environment.fixed_tokens)
        };
        assert_eq!(token.expose(), "e30.e30.");
    }

    #[cfg(feature = "live")]
    #[test]
    fn programs_do_not_inherit_the_passwords_of_keys() {
        use gce_metadata_tokens::{LiveOptions, LiveSource};
        let options = LiveOptions::new(LiveSource::Federate { path: "workload.json".into() });
        assert_eq!(options.withheld_variables, [KEY_PASSWORD, PARENT_PASSWORD]);
    }

    /// The Go emulator's README has it so.
    #[test]
    fn a_number_that_is_none_is_served_and_doubted() {
        let overrides = environment(&[(NUMBER, "some_project_number")]).overrides;
        let tree = overrides.apply(Metadata::sample()).tree();
        assert_eq!(tree.text("project/numeric-project-id").unwrap(), "some_project_number");
        assert!(overrides.doubt().unwrap().starts_with("GOOGLE_NUMERIC_PROJECT_ID is `some_project_number`: "));

        let overrides = environment(&[(NUMBER, "42")]).overrides;
        assert_eq!(overrides.apply(Metadata::sample()).tree().get("project/numeric-project-id").unwrap().json(), "42");
        assert_eq!(overrides.doubt(), None);
    }

    #[test]
    fn what_is_not_utf_8_is_named() {
        let error = Environment::from(|name| Err(EnvironmentError { name })).unwrap_err();
        assert_eq!(error.to_string(), "environment variable GOOGLE_ACCESS_TOKEN: not UTF-8");
    }
}
