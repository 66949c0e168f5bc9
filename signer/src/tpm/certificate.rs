//! A self-signed certificate of a key in a TPM.

use super::key::LoadedKey;
use super::limit::{OPEN_TIMEOUT, with_timeout};
use super::{JwsAlgorithm, TpmError, TpmKey, TpmOptions};
use crate::certificate::self_signed;
use crate::queue::DeviceKey;

/// Makes a self-signed certificate of the key, in PEM, for the upload of its public key to a service account. `name`
/// becomes the common name. This blocks for up to 90 seconds.
///
/// # Errors
/// If the key can't be used, or the TPM does not answer.
pub fn self_signed_certificate(key: &TpmKey, options: &TpmOptions, name: &str) -> Result<String, TpmError> {
    let (key, opened_with, name) = (key.clone(), options.clone(), name.to_owned());
    with_timeout(OPEN_TIMEOUT, &options.tpm, move || {
        let mut key = LoadedKey::open(&key, &opened_with)?;
        let public = key.rsa.key.clone();
        self_signed(public, name, |message| key.sign(JwsAlgorithm::Rs256, message), TpmError::Other)
    })
}
