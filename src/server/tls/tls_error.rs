//! Errors of certificates for HTTPS.

use crate::certs::MintError;
use gce_metadata_signer::SealError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Error of the certificates for HTTPS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A certificate, key or revocation list can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error and its remedy.
        problem: String,
    },
    /// A certificate could not be issued.
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
