//! A self-signed certificate of a key in a token.

use super::key::OpenKey;
use super::{Pkcs11Error, Pkcs11Key, Pkcs11Options, with_timeout};
use crate::JwsAlgorithm;
use crate::certificate::self_signed;
use crate::queue::DeviceKey;

/// Makes a self-signed certificate of an RSA key, in PEM, for the upload of its public key to a service account. `name`
/// becomes the common name. This blocks for up to 90 seconds.
///
/// # Errors
/// If the key can't be used or is not an RSA key, or the module does not answer.
pub fn self_signed_certificate(key: &Pkcs11Key, options: &Pkcs11Options, name: &str) -> Result<String, Pkcs11Error> {
    let (module, name) = (key.module.clone(), name.to_owned());
    let (key, options) = (key.clone(), options.clone());
    with_timeout(&module, move || {
        let mut key = OpenKey::open(&key, &options)?;
        let public = key.public_key().clone();
        self_signed(public, name, |message| key.sign(JwsAlgorithm::Rs256, message), Pkcs11Error::Other)
    })
}
