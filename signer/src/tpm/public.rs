//! The public key of a key in a TPM, and the check that it can sign tokens.

use super::TpmError;
use crate::public_key::PublicKey;
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Public, RsaScheme};

/// The default public exponent, which a TPM encodes as 0.
const EXPONENT: u32 = 65537;

/// The public key of an RSA key that can sign with SHA-256.
#[derive(Clone)]
pub(super) struct RsaPublic {
    pub(super) key: PublicKey,
    /// Whether the key has no fixed scheme: the caller selects PKCS#1 v1.5 or PSS.
    pub(super) any_scheme: bool,
}

impl RsaPublic {
    pub(super) fn of(public: &Public) -> Result<Self, TpmError> {
        let unsuitable = |why: &str| TpmError::UnsuitableKey(why.to_owned());
        let Public::Rsa { object_attributes, parameters, unique, .. } = public else {
            return Err(unsuitable("it is not an RSA key"));
        };
        if !object_attributes.sign_encrypt() {
            return Err(unsuitable("it is a decryption key"));
        }
        if object_attributes.restricted() {
            return Err(unsuitable("it is restricted: it signs only data that the TPM has generated"));
        }
        let any_scheme = match parameters.rsa_scheme() {
            RsaScheme::Null => true,
            RsaScheme::RsaSsa(hash) if hash.hashing_algorithm() == HashingAlgorithm::Sha256 => false,
            RsaScheme::RsaSsa(_) => return Err(unsuitable("it signs with another hash")),
            _ => return Err(unsuitable("it signs with another padding than PKCS#1 v1.5")),
        };
        let exponent = match parameters.exponent().value() {
            0 => EXPONENT,
            exponent => exponent,
        };
        let key = PublicKey::rsa(unique.value(), &exponent.to_be_bytes());
        Ok(Self { key: key.map_err(|error| unsuitable(&error.to_string()))?, any_scheme })
    }
}
