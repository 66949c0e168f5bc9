//! Signers of JSON Web Tokens as [`tower::Service`]s from a [`SignRequest`] to a [`Signature`].
//!
//! [`jws`] assembles tokens, and a signer signs them, so that a key in memory ([`PemSigner`]), a key in a TPM
//! (`tpm::TpmSigner`) and a key in a PKCS#11 token (`pkcs11::Pkcs11Signer`) share every step but the signature.
//! [`EndorsementKey`] seals secrets to a TPM.
//!
//! # Features
//!
//! - `tpm`: keys in a Trusted Platform Module. It links tpm2-tss, which must be installed.
//! - `pkcs11`: keys in a token with a PKCS#11 module, such as a hardware security module. The module is loaded at run
//!   time.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "device")]
mod certificate;
#[cfg(feature = "device")]
mod ecdsa;
mod endorsement;
#[cfg(feature = "device")]
mod limit;
mod pem;
#[cfg(feature = "device")]
mod public_key;
#[cfg(feature = "device")]
mod queue;

pub mod jws;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
#[cfg(feature = "tpm")]
pub mod tpm;

#[cfg(feature = "device")]
pub use ecdsa::{InvalidSignature, ecdsa_signature_to_der};
pub use endorsement::{EndorsementKey, EndorsementKeyError, ImportBlob, SealError};
pub use gce_metadata_support::Secret;
pub use pem::{KeyError, PemSigner};

use aws_lc_rs::digest;
use bytes::Bytes;
use std::fmt;
use tower::util::BoxCloneSyncService;

/// A signer of any type, boxed and cloneable.
pub type BoxSigner = BoxCloneSyncService<SignRequest, Signature, SignError>;

/// A signature algorithm of JSON Web Signatures. `Display` writes its `alg` name, such as `RS256`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JwsAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256: what Google signs with and accepts.
    Rs256,
    /// RSASSA-PSS with SHA-256: what TLS 1.3 requires of RSA keys.
    Ps256,
    /// ECDSA on the curve P-256 with SHA-256. The signature is r and s of 32 bytes each, as RFC 7518 has it.
    Es256,
    /// ECDSA on the curve P-384 with SHA-384. The signature is r and s of 48 bytes each.
    Es384,
}

impl fmt::Display for JwsAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        })
    }
}

/// A message to sign.
#[derive(Debug, Clone)]
pub struct SignRequest {
    /// The algorithm to sign with.
    pub alg: JwsAlgorithm,
    /// The message itself, not its digest: the signer hashes it.
    pub message: Bytes,
}

/// The bytes of a signature. An RSA signature is as long as the modulus of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(pub Bytes);

/// The error of a signer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The signature failed, for this reason.
    #[error("signing failed: {0}")]
    Failed(String),
}

/// Public facts about a signer's key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The `kid` of the key: the first 40 hex digits of `spki_sha256`, as long as the key ids of Google.
    pub key_id: String,
    /// The algorithm that the key signs tokens with.
    pub alg: JwsAlgorithm,
    /// The SHA-256 of the public key's SubjectPublicKeyInfo in DER.
    pub spki_sha256: [u8; 32],
}

/// Describes the RSA key with this SubjectPublicKeyInfo in DER.
fn key_info(spki: &[u8]) -> KeyInfo {
    let mut spki_sha256 = [0; 32];
    spki_sha256.copy_from_slice(digest::digest(&digest::SHA256, spki).as_ref());
    let key_id = spki_sha256.iter().take(20).map(|byte| format!("{byte:02x}")).collect();
    KeyInfo { key_id, alg: JwsAlgorithm::Rs256, spki_sha256 }
}
