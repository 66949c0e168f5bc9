//! A self-signed certificate of a key in a TPM. Google accepts the upload of a public key in this form.

use super::key::LoadedKey;
use super::limit::{OPEN_TIMEOUT, with_timeout};
use super::public::RsaPublic;
use super::{JwsAlgorithm, TpmError, TpmKey, TpmOptions};
use rcgen::{CertificateParams, DnType, PublicKeyData, SignatureAlgorithm};
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;

/// The validity of the certificate, in days. Google checks it at each use of the key.
const VALID_DAYS: i64 = 3650;

/// Makes a self-signed certificate of the key, in PEM, for the upload of its public key to a service account. `name`
/// becomes the common name. This blocks for up to 90 seconds.
///
/// # Errors
/// If the key can't be used, or the TPM does not answer.
pub fn self_signed_certificate(key: &TpmKey, options: &TpmOptions, name: &str) -> Result<String, TpmError> {
    let (key, opened_with, name) = (key.clone(), options.clone(), name.to_owned());
    with_timeout(OPEN_TIMEOUT, &options.tpm, move || self_signed(LoadedKey::open(&key, &opened_with)?, name))
}

fn self_signed(key: LoadedKey, name: String) -> Result<String, TpmError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = OffsetDateTime::now_utc() - time::Duration::minutes(5);
    params.not_after = params.not_before + time::Duration::days(VALID_DAYS);
    let signer = CertificateSigner { public: key.rsa.clone(), key: Mutex::new((key, None)) };
    let certificate = params.self_signed(&signer);
    let (_, error) = signer.key.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (certificate, error) {
        (Ok(certificate), _) => Ok(certificate.pem()),
        (Err(_), Some(error)) => Err(error),
        (Err(error), None) => Err(TpmError::Other(error.to_string())),
    }
}

/// The key as rcgen's signer. It keeps the TPM's error, for which rcgen's error type has no room.
struct CertificateSigner {
    public: RsaPublic,
    key: Mutex<(LoadedKey, Option<TpmError>)>,
}

impl PublicKeyData for CertificateSigner {
    fn der_bytes(&self) -> &[u8] {
        self.public.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.public.algorithm()
    }
}

impl rcgen::SigningKey for CertificateSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let mut key = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        key.0.sign(JwsAlgorithm::Rs256, message).map_err(|error| {
            key.1 = Some(error);
            rcgen::Error::RemoteKeyError
        })
    }
}
