//! An RSA private key to import into a TPM, which needs only its modulus and one prime.

use super::TpmError;
use crate::pem::{KeyError, is_encrypted};
use der::asn1::{AnyRef, OctetStringRef, UintRef};
use der::{Decode, Reader, SliceReader};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use zeroize::Zeroizing;

const EXPONENT: [u8; 3] = [1, 0, 1];

pub(super) struct RsaPrivate {
    pub(super) modulus: Vec<u8>,
    pub(super) prime: Zeroizing<Vec<u8>>,
}

impl RsaPrivate {
    /// Reads the first private key of a PEM text, in PKCS#8 or PKCS#1.
    pub(super) fn from_pem(pem: &str) -> Result<Self, TpmError> {
        let unsuitable = |why: &str| TpmError::UnsuitableKey(why.to_owned());
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| match is_encrypted(pem) {
            true => unsuitable(&KeyError::Encrypted.to_string()),
            false => unsuitable(&KeyError::NotPem.to_string()),
        })?;
        let read = match &key {
            PrivateKeyDer::Pkcs1(key) => Self::from_pkcs1(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => from_pkcs8(key.secret_pkcs8_der()).and_then(Self::from_pkcs1),
            _ => return Err(unsuitable("an elliptic-curve key")),
        };
        let key = read.map_err(|_| unsuitable("a private key, but not an RSA key"))?;
        key.ok_or_else(|| unsuitable("its public exponent is not 65537, the only one that every TPM supports"))
    }

    /// Returns `None` if the public exponent is not 65537.
    fn from_pkcs1(der: &[u8]) -> der::Result<Option<Self>> {
        let whole = AnyRef::from_der(der)?;
        let mut fields = SliceReader::new(whole.value())?;
        let _version = AnyRef::decode(&mut fields)?;
        let mut number = || UintRef::decode(&mut fields).map(|number| number.as_bytes());
        let (modulus, exponent, _private, prime) = (number()?, number()?, number()?, number()?);
        let prime = Zeroizing::new(prime.to_vec());
        Ok((exponent == EXPONENT).then(|| Self { modulus: modulus.to_vec(), prime }))
    }

    pub(super) fn bits(&self) -> Result<u16, TpmError> {
        u16::try_from(self.modulus.len() * 8).map_err(|_| TpmError::UnsuitableKey("it is too long".to_owned()))
    }
}

/// The PKCS#1 encoding inside PKCS#8.
fn from_pkcs8(der: &[u8]) -> der::Result<&[u8]> {
    let whole = AnyRef::from_der(der)?;
    let mut fields = SliceReader::new(whole.value())?;
    let (_version, _algorithm) = (AnyRef::decode(&mut fields)?, AnyRef::decode(&mut fields)?);
    let inner = <&OctetStringRef>::decode(&mut fields)?;
    let rest = fields.remaining_len();
    let _ = fields.read_slice(rest)?;
    Ok(inner.as_bytes())
}
