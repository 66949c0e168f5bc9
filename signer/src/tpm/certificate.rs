//! A certificate of a key in a TPM, which Google takes the public half from.

use super::key::LoadedKey;
use super::limit::{OPENING, within};
use super::public::RsaPublic;
use super::{JwsAlgorithm, TpmError, TpmKey, TpmOptions};
use rcgen::{CertificateParams, DnType, PublicKeyData, SignatureAlgorithm};
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;

/// How long a certificate to upload is valid, in days. Google looks at it each time the key is used.
const VALID_DAYS: i64 = 3650;

/// A certificate of the key's own signature, in PEM, to be uploaded as a key of the service account. This blocks, for a
/// minute and a half at most.
///
/// # Errors
/// If the key can't be used, or the TPM does not answer.
pub fn certificate(key: &TpmKey, options: &TpmOptions, name: &str) -> Result<String, TpmError> {
    let (key, there, name) = (key.clone(), options.clone(), name.to_owned());
    within(OPENING, &options.tpm, move || self_signed(LoadedKey::open(&key, &there)?, name))
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

/// rcgen's view of a key. What the TPM says of a failure is kept aside.
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
