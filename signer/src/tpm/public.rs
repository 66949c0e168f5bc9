//! The public side of a key in a TPM.

use super::TpmError;
use der::asn1::UintRef;
use der::{Encode, Sequence};
use rcgen::{PublicKeyData, SignatureAlgorithm};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::structures::{Public, RsaScheme};

/// The exponent that a TPM means by 0.
const EXPONENT: u32 = 65537;

/// An RSA key that can sign.
#[derive(Clone)]
pub(super) struct RsaPublic {
    /// PKCS#1, in DER.
    der: Vec<u8>,
    /// Whether the key leaves the padding to whoever asks for a signature.
    pub(super) any_scheme: bool,
}

#[derive(Sequence)]
struct Pkcs1<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl RsaPublic {
    pub(super) fn of(public: &Public) -> Result<Self, TpmError> {
        let not = |what: &str| TpmError::NotSigning(what.to_owned());
        let Public::Rsa { object_attributes, parameters, unique, .. } = public else {
            return Err(not("it is not an RSA key"));
        };
        if !object_attributes.sign_encrypt() {
            return Err(not("it is there to decrypt"));
        }
        if object_attributes.restricted() {
            return Err(not("it signs nothing but what the TPM itself has made (restricted)"));
        }
        let any_scheme = match parameters.rsa_scheme() {
            RsaScheme::Null => true,
            RsaScheme::RsaSsa(hash) if hash.hashing_algorithm() == HashingAlgorithm::Sha256 => false,
            RsaScheme::RsaSsa(_) => return Err(not("it signs with another hash")),
            _ => return Err(not("it signs with another padding than PKCS#1 v1.5")),
        };
        let exponent = match parameters.exponent().value() {
            0 => EXPONENT,
            exponent => exponent,
        };
        let exponent = exponent.to_be_bytes();
        let encode = || {
            let (modulus, exponent) = (UintRef::new(unique.value())?, UintRef::new(&exponent)?);
            Pkcs1 { modulus, exponent }.to_der()
        };
        let der = encode().map_err(|error| not(&error.to_string()))?;
        Ok(Self { der, any_scheme })
    }
}

impl PublicKeyData for RsaPublic {
    fn der_bytes(&self) -> &[u8] {
        &self.der
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}
