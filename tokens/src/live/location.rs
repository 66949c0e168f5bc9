//! The location of credentials: a file, or a key in a TPM.

#[cfg(feature = "device")]
use super::device::DeviceKey;
use super::open_context::OpenContext;
use std::fmt;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Location {
    File(PathBuf),
    /// A key in a device, outside of a credentials file.
    #[cfg(feature = "device")]
    Device(DeviceKey),
    /// A certificate whose key is in a device.
    #[cfg(feature = "device")]
    Certificate {
        key: DeviceKey,
        certificate: PathBuf,
        audience: String,
    },
}

impl Location {
    /// The files that credentials with these settings are read from.
    pub(super) fn files(&self, _context: &OpenContext) -> Vec<PathBuf> {
        match self {
            Self::File(path) => vec![path.clone()],
            #[cfg(feature = "device")]
            Self::Device(key) => key.files(_context),
            #[cfg(feature = "device")]
            Self::Certificate { key, certificate, .. } => [key.files(_context), vec![certificate.clone()]].concat(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            #[cfg(feature = "device")]
            Self::Device(key) => key.fmt(f),
            #[cfg(feature = "device")]
            Self::Certificate { certificate, .. } => certificate.display().fmt(f),
        }
    }
}
