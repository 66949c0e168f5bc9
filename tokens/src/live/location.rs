//! The location of credentials: a file, or a key in a TPM.

#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::TpmKey;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Location {
    File(PathBuf),
    /// A persistent key in a TPM.
    #[cfg(feature = "tpm")]
    Tpm(TpmKey),
    /// A certificate whose key is in a TPM.
    #[cfg(feature = "tpm")]
    Certificate {
        key: TpmKey,
        certificate: PathBuf,
        audience: String,
    },
}

impl Location {
    #[cfg(feature = "tpm")]
    pub(super) fn of(key: TpmKey) -> Self {
        match key {
            TpmKey::File(path) => Self::File(path),
            key => Self::Tpm(key),
        }
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            #[cfg(feature = "tpm")]
            Self::Tpm(_) => Vec::new(),
            #[cfg(feature = "tpm")]
            Self::Certificate { key, certificate, .. } => {
                [Self::of(key.clone()).files(), vec![certificate.clone()]].concat()
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => key.fmt(f),
            #[cfg(feature = "tpm")]
            Self::Certificate { certificate, .. } => certificate.display().fmt(f),
        }
    }
}
