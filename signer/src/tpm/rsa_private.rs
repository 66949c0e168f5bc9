//! An RSA private key on its way into a TPM, which wants no more of it than the modulus and one prime.

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
    /// The first private key of a PEM text, PKCS#8 or PKCS#1.
    pub(super) fn from_pem(pem: &str) -> Result<Self, TpmError> {
        let refused = |what: &str| TpmError::NotSigning(what.to_owned());
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| match is_encrypted(pem) {
            true => refused(&KeyError::Encrypted.to_string()),
            false => refused(&KeyError::NotPem.to_string()),
        })?;
        let read = match &key {
            PrivateKeyDer::Pkcs1(key) => Self::from_pkcs1(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => from_pkcs8(key.secret_pkcs8_der()).and_then(Self::from_pkcs1),
            _ => return Err(refused("an elliptic-curve key")),
        };
        let key = read.map_err(|_| refused("a private key, but not RSA's"))?;
        key.ok_or_else(|| refused("its public exponent is not 65537, the only one that every TPM has"))
    }

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
        u16::try_from(self.modulus.len() * 8).map_err(|_| TpmError::NotSigning("it is too long".to_owned()))
    }
}

/// The PKCS#1 inside.
fn from_pkcs8(der: &[u8]) -> der::Result<&[u8]> {
    let whole = AnyRef::from_der(der)?;
    let mut fields = SliceReader::new(whole.value())?;
    let (_version, _algorithm) = (AnyRef::decode(&mut fields)?, AnyRef::decode(&mut fields)?);
    let inner = <&OctetStringRef>::decode(&mut fields)?;
    let rest = fields.remaining_len();
    let _ = fields.read_slice(rest)?;
    Ok(inner.as_bytes())
}
