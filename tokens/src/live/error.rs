//! Why credentials can't be used.

use std::path::PathBuf;

/// Why credentials can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// The file can't be used.
    #[error("{place}: {problem}")]
    File {
        /// The file, or the place of credentials that are not in a file.
        place: String,
        /// What is wrong, without secrets.
        problem: String,
    },
    /// TLS could not be set up.
    #[error("TLS: {0}")]
    Tls(String),
}

/// What is wrong with credentials, without secrets.
pub(super) struct Problem {
    pub(super) text: String,
    /// Files beside the credentials' own in which it may be corrected.
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
    /// Prefixes the place.
    pub(super) fn at(self, place: &str) -> Self {
        Self { text: format!("{place}: {}", self.text), ..self }
    }
}

/// Why credentials can't be used, and all files in which that may be corrected.
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
