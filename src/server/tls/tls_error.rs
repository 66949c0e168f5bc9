//! Why HTTPS can't be served.

use crate::certs::MintError;
use gce_metadata_signer::SealError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why HTTPS can't be served. The path is that of the file to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<SealError> for TlsError {
    fn from(error: SealError) -> Self {
        Self::Mint(error.into())
    }
}

impl TlsError {
    pub(super) fn at(path: &Path, problem: impl fmt::Display) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string() }
    }
}
