//! The errors of opening credentials.

use std::path::PathBuf;

/// The error of opening credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The credentials are unusable.
    #[error("{place}: {problem}")]
    File {
        /// The path of the file, or the location of credentials that are not in a file.
        place: String,
        /// The problem, without secrets.
        problem: String,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// A problem with credentials, without secrets and without their location.
pub(super) struct Problem {
    pub(super) text: String,
    /// Other files that may cause the problem. A change of one of them causes a reload.
    pub(super) files: Vec<PathBuf>,
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self { text, files: Vec::new() }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Problem {
    /// Prefixes the text with a place in the file.
    pub(super) fn at(self, place: &str) -> Self {
        Self { text: format!("{place}: {}", self.text), ..self }
    }
}

/// The error of unusable credentials, and all files that may cause it. A change of one of them causes a reload.
#[derive(Debug)]
pub(super) struct Unusable {
    pub(super) error: CredentialError,
    pub(super) files: Vec<PathBuf>,
}

impl From<Unusable> for CredentialError {
    fn from(unusable: Unusable) -> Self {
        unusable.error
    }
}
