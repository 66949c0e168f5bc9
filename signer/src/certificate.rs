//! A self-signed certificate of a key in a device. Google accepts the upload of a public key in this form.

use crate::public_key::PublicKey;
use rcgen::{CertificateParams, DnType, PublicKeyData, SignatureAlgorithm};
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;

/// The validity of the certificate, in days. Google checks it at each use of the key.
const VALID_DAYS: i64 = 3650;

/// Makes a certificate with this common name, in PEM. `sign` signs with the key, by RS256; `other` converts errors of
/// rcgen.
pub(crate) fn self_signed<E>(
    public: PublicKey,
    name: String,
    sign: impl FnMut(&[u8]) -> Result<Vec<u8>, E>,
    other: impl FnOnce(String) -> E,
) -> Result<String, E> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - time::Duration::minutes(5);
    params.not_after = params.not_before + time::Duration::days(VALID_DAYS);
    let signer = CertificateSigner { public, signing: Mutex::new((sign, None)) };
    let certificate = params.self_signed(&signer);
    let (_, error) = signer.signing.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (certificate, error) {
        (Ok(certificate), _) => Ok(certificate.pem()),
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(other(error.to_string())),
    }
}

/// The key as rcgen's signer. It keeps the device's error, for which rcgen's error type has no room.
struct CertificateSigner<F, E> {
    public: PublicKey,
    signing: Mutex<(F, Option<E>)>,
}

impl<F, E> PublicKeyData for CertificateSigner<F, E> {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl<F: FnMut(&[u8]) -> Result<Vec<u8>, E>, E> rcgen::SigningKey for CertificateSigner<F, E> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut signing = self.signing.lock().unwrap_or_else(PoisonError::into_inner);
        (signing.0)(message).map_err(|error| {
            signing.1 = Some(error);
            rcgen::Error::RemoteKeyError
        })
    }
}
