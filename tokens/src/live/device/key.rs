//! The keys of every kind of device, opened as signers of one type.

use crate::live::open_context::OpenContext;
use gce_metadata_signer::{BoxSigner, JwsAlgorithm};
use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "pkcs11")]
use gce_metadata_signer::pkcs11::{Pkcs11Key, Pkcs11Signer};
#[cfg(feature = "tpm")]
use gce_metadata_signer::tpm::{TpmError, TpmKey, TpmSigner};

/// The location of a key in a device.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::live) enum DeviceKey {
    #[cfg(feature = "tpm")]
    Tpm(TpmKey),
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11Key),
}

/// A signer whose key is in a device.
pub(in crate::live) struct DeviceSigner {
    pub(in crate::live) signer: BoxSigner,
    /// The public key as SubjectPublicKeyInfo in DER, and its SHA-256.
    pub(super) spki: Vec<u8>,
    pub(super) spki_sha256: [u8; 32],
    /// The algorithms that the key can sign with.
    pub(super) algorithms: Vec<JwsAlgorithm>,
}

/// Every algorithm, in the order of preference for TLS.
pub(super) const ALGORITHMS: [JwsAlgorithm; 4] =
    [JwsAlgorithm::Es256, JwsAlgorithm::Es384, JwsAlgorithm::Ps256, JwsAlgorithm::Rs256];

/// A signer as a [`DeviceSigner`]: all types of signers have these methods.
macro_rules! device_signer {
    ($signer:expr) => {{
        let signer = $signer;
        DeviceSigner {
            spki: signer.public_key().to_vec(),
            spki_sha256: signer.info().spki_sha256,
            algorithms: ALGORITHMS.into_iter().filter(|alg| signer.supports(*alg)).collect(),
            signer: signer.boxed(),
        }
    }};
}

impl DeviceKey {
    /// Opens the key.
    pub(in crate::live) fn open(&self, context: &OpenContext) -> Result<DeviceSigner, String> {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => {
                let signer = TpmSigner::open(key.clone(), context.tpm.clone()).map_err(|error| match error {
                    // The caller adds the path.
                    TpmError::KeyFile { problem, .. } => problem,
                    error => error.to_string(),
                });
                Ok(device_signer!(signer?))
            }
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(key) => {
                let signer = Pkcs11Signer::open(key.clone(), context.pkcs11.clone());
                Ok(device_signer!(signer.map_err(|error| error.to_string())?))
            }
        }
    }

    /// The files that the use of the key depends on.
    pub(in crate::live) fn files(&self, context: &OpenContext) -> Vec<PathBuf> {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(TpmKey::File(path)) => vec![path.clone()],
            #[cfg(feature = "tpm")]
            Self::Tpm(_) => Vec::new(),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(key) => key.files(&context.pkcs11),
        }
    }

    /// The label of `credential_type` for a service account's key.
    pub(in crate::live) fn credential_type(&self) -> &'static str {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(_) => "TPM",
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => "PKCS11",
        }
    }

    /// The label of `credential_type` for a workload's certificate.
    pub(super) fn federated_type(&self) -> &'static str {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(_) => "TPMFederated",
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => "PKCS11Federated",
        }
    }

    /// The device, for errors.
    pub(super) fn device(&self) -> &'static str {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(_) => "TPM",
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => "PKCS#11 token",
        }
    }
}

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "tpm")]
            Self::Tpm(key) => key.fmt(f),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(key) => key.fmt(f),
        }
    }
}
