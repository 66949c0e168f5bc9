//! RSA keys in a Trusted Platform Module (TPM 2.0): signing with them, provisioning them, describing them.
//!
//! The private key never leaves the chip. The TPM gets the digest of a message and returns a signature, which for RS256
//! equals, byte for byte, that of a [`PemSigner`](super::PemSigner) with the same key.
//!
//! Every function that talks to the TPM blocks its thread, except [`TpmSigner`]'s service.

mod address;
mod bridge;
mod certificate;
mod device;
mod error;
mod key;
mod keyfile;
mod limit;
mod pcrs;
mod policy;
mod provision;
mod public;
mod rsa_private;

pub use super::queue::SignatureFuture;
pub use address::TpmAddress;
pub use certificate::self_signed_certificate;
pub use error::TpmError;
pub use pcrs::Pcrs;
pub use provision::{KeyDescription, NewKey, ProvisionedKey, Provisioner, describe};

use super::queue::{SIGN_TIMEOUT, SignQueue, boxed_with_timeout, queued_signer};
use super::{BoxSigner, JwsAlgorithm, KeyInfo, key_info};
use device::ENDORSEMENT_KEYS;
use gce_metadata_support::Secret;
use key::LoadedKey;
use limit::{OPEN_TIMEOUT, with_timeout};
use rcgen::PublicKeyData;
use std::fmt;
use std::path::PathBuf;

/// The address of a TPM, and how the use of a key in it is authorised.
#[derive(Debug, Clone, Default)]
pub struct TpmOptions {
    /// The address of the TPM. By default the kernel's resource manager.
    pub tpm: TpmAddress,
    /// Loads a key file under the RSA endorsement key, instead of the parent that the file names.
    pub use_ek_parent: bool,
    /// The password of a persistent parent, or of the hierarchy of a primary parent.
    pub parent_password: Option<Secret>,
    /// The key's own password (its authValue).
    pub key_password: Option<Secret>,
    /// The platform registers that the key's policy is bound to.
    pub pcrs: Option<Pcrs>,
    /// The TPM name of an endorsement key. If set, sessions are salted with this key and encrypt the parameters of
    /// commands, so that only the TPM with this key can read them.
    pub encrypt_with_name: Option<Vec<u8>>,
}

/// The location of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TpmKey {
    /// A key at this persistent handle, 0x81000000 to 0x81ffffff.
    Persistent(u32),
    /// A key file, which only its TPM can load: PEM with the label `TSS2 PRIVATE KEY`.
    File(PathBuf),
}

impl fmt::Display for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persistent(handle) => write!(f, "the TPM's handle {handle:#x}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The parent of a key: the storage key that encrypts it outside of the TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TpmParent {
    /// The elliptic-curve primary key of the owner hierarchy, called H2 by the specification of key files.
    Owner,
    /// The RSA primary key of the owner hierarchy.
    OwnerRsa,
    /// The RSA endorsement key.
    Endorsement,
    /// The key at this persistent handle.
    Persistent(u32),
}

/// A signer with a key inside a TPM.
///
/// One thread owns the TPM and makes the signatures in the order of the requests. Its queue is bounded: `poll_ready`
/// waits for capacity, which is the backpressure of a slow TPM. A restarted TPM is reopened at the next signature.
/// Clones share the queue.
#[derive(Clone)]
pub struct TpmSigner {
    queue: SignQueue,
    info: KeyInfo,
    spki: Vec<u8>,
    any_scheme: bool,
}

impl TpmSigner {
    /// Connects to the TPM and loads the key. This blocks for up to 90 seconds. It makes no signature, so a wrong
    /// password of the key is not detected yet.
    ///
    /// # Errors
    /// If there is no TPM at the address or no such key, if the TPM does not answer, or if `options` don't satisfy the
    /// key's policy.
    pub fn open(key: TpmKey, options: TpmOptions) -> Result<Self, TpmError> {
        let (first_key, first_options) = (key.clone(), options.clone());
        let loaded = with_timeout(OPEN_TIMEOUT, &options.tpm, move || LoadedKey::open(&first_key, &first_options))?;
        let (spki, any_scheme) = (loaded.rsa.key.subject_public_key_info(), loaded.rsa.any_scheme);
        let queue = SignQueue::start("tpm", loaded, move || LoadedKey::open(&key, &options));
        let queue = queue.map_err(|error| TpmError::Other(error.to_string()))?;
        Ok(Self { queue, info: key_info(&spki), spki, any_scheme })
    }

    /// Returns the public facts about the key.
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Returns the public key as SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }

    /// Returns whether the key can sign with `alg`.
    pub fn supports(&self, alg: JwsAlgorithm) -> bool {
        match alg {
            JwsAlgorithm::Rs256 => true,
            JwsAlgorithm::Ps256 => self.any_scheme,
            JwsAlgorithm::Es256 | JwsAlgorithm::Es384 => false,
        }
    }

    /// Boxes the signer and adds a time-out of 10 seconds per signature, because a hung TPM never answers.
    #[must_use]
    pub fn boxed(self) -> BoxSigner {
        boxed_with_timeout(self, TpmError::SignTimeout(SIGN_TIMEOUT.as_secs()).to_string())
    }
}

queued_signer!(TpmSigner);
