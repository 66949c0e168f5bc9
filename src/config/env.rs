//! The environment: the only file that reads it.

use crate::credentials::CredentialSource;
use gce_metadata_routes::Metadata;
use gce_metadata_routes::token::Secret;

/// Values that stand over those of any config, whenever it is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// For `project/project-id`: `GOOGLE_PROJECT_ID`.
    pub project_id: Option<String>,
    /// For `project/numeric-project-id`: `GOOGLE_NUMERIC_PROJECT_ID`.
    pub numeric_project_id: Option<u64>,
    /// The e-mail of the default service account: `GOOGLE_SERVICE_ACCOUNT`.
    pub service_account: Option<String>,
}

impl Overrides {
    /// The metadata with the overrides in it.
    pub fn apply(&self, mut metadata: Metadata) -> Metadata {
        if let Some(id) = &self.project_id {
            metadata = metadata.with_project_id(id);
        }
        if let Some(id) = self.numeric_project_id {
            metadata = metadata.with_numeric_project_id(id);
        }
        if let Some(email) = &self.service_account {
            metadata = metadata.with_service_account(email);
        }
        metadata
    }
}

/// What the environment says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Environment {
    /// Values that stand over those of the config.
    pub overrides: Overrides,
    /// The tokens it brings, if any: `GOOGLE_ACCESS_TOKEN`, `GOOGLE_ID_TOKEN`.
    pub fixed_tokens: Option<CredentialSource>,
    /// What to log: `RUST_LOG`.
    pub log_filter: Option<String>,
}

/// A variable that can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {name}: {problem}")]
pub struct EnvironmentError {
    name: &'static str,
    problem: String,
}

impl Environment {
    /// Reads this process' environment.
    ///
    /// # Errors
    /// If a variable can't be used.
    #[allow(clippy::disallowed_methods)]
    pub fn read() -> Result<Self, EnvironmentError> {
        Self::from(|name| std::env::var(name).ok())
    }

    /// An empty variable counts as none: containers are started with `-e NAME=$NOT_SET`.
    fn from(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        const NUMBER: &str = "GOOGLE_NUMERIC_PROJECT_ID";
        let get = |name| variable(name).filter(|value| !value.is_empty());
        let secret = |name| get(name).map(Secret::from);
        let number = get(NUMBER).map(|value| {
            let problem = || format!("`{value}` is not a project number, which is all digits");
            value.parse().map_err(|_| EnvironmentError { name: NUMBER, problem: problem() })
        });
        let (access_token, id_token) = (secret("GOOGLE_ACCESS_TOKEN"), secret("GOOGLE_ID_TOKEN"));
        let has_tokens = access_token.is_some() || id_token.is_some();
        Ok(Self {
            overrides: Overrides {
                project_id: get("GOOGLE_PROJECT_ID"),
                numeric_project_id: number.transpose()?,
                service_account: get("GOOGLE_SERVICE_ACCOUNT"),
            },
            fixed_tokens: has_tokens.then_some(CredentialSource::Fixed { access_token, id_token }),
            log_filter: get("RUST_LOG"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &'static [(&str, &str)]) -> Result<Environment, EnvironmentError> {
        Environment::from(|name| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_overrides_nothing() {
        let environment = environment(&[("GOOGLE_PROJECT_ID", ""), ("GOOGLE_ACCESS_TOKEN", "")]).unwrap();
        assert_eq!(environment.overrides, Overrides::default());
        assert!(environment.fixed_tokens.is_none());
    }

    #[test]
    fn either_token_alone_is_enough() {
        let environment = environment(&[("GOOGLE_ID_TOKEN", "e30.e30.")]).unwrap();
        let Some(CredentialSource::Fixed { access_token: None, id_token: Some(token) }) = environment.fixed_tokens
        else {
            panic!("{:?}", environment.fixed_tokens)
        };
        assert_eq!(token.expose(), "e30.e30.");
    }

    #[test]
    fn a_number_that_is_none_is_named() {
        let error = environment(&[("GOOGLE_NUMERIC_PROJECT_ID", "some_project_number")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "environment variable GOOGLE_NUMERIC_PROJECT_ID: `some_project_number` is not a project number, which is all digits"
        );
    }
}
