//! The public key of a key in a device, in the encodings of certificates.

use der::asn1::UintRef;
use der::{Encode, Sequence};
use rcgen::{PublicKeyData, SignatureAlgorithm};

/// A public key in DER.
#[derive(Clone)]
pub(crate) struct PublicKey {
    /// The key inside of a SubjectPublicKeyInfo: PKCS#1 for RSA, a point for an elliptic curve.
    der: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

#[derive(Sequence)]
struct Pkcs1<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

impl PublicKey {
    /// An RSA key of this modulus and exponent, both big-endian.
    pub(crate) fn rsa(modulus: &[u8], exponent: &[u8]) -> der::Result<Self> {
        let der = Pkcs1 { modulus: UintRef::new(modulus)?, exponent: UintRef::new(exponent)? }.to_der()?;
        Ok(Self { der, algorithm: &rcgen::PKCS_RSA_SHA256 })
    }

    /// An uncompressed point on the curve of this algorithm.
    #[cfg(feature = "pkcs11")]
    pub(crate) fn elliptic_curve(point: Vec<u8>, algorithm: &'static SignatureAlgorithm) -> Self {
        Self { der: point, algorithm }
    }

    /// The SubjectPublicKeyInfo in PEM.
    pub(crate) fn pem(&self) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new("PUBLIC KEY", self.subject_public_key_info()), config)
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.der
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
