//! A credentials file that names a service account's key in a PKCS#11 token.

use super::device::{self, DeviceKey};
use super::error::Problem;
use super::loaded::LoadedCredentials;
use super::open_context::OpenContext;
use gce_metadata_signer::pkcs11::{Pkcs11Key, Pkcs11Options, Pkcs11Pin, Pkcs11Uri};
use serde::Deserialize;
use std::path::PathBuf;

/// A credentials file of `type` `pkcs11`.
#[derive(Deserialize)]
pub(super) struct Pkcs11Account {
    /// The module, by default that of the URI, or else that of the options.
    module: Option<PathBuf>,
    uri: String,
    pin_file: Option<PathBuf>,
    client_email: Option<String>,
    private_key_id: Option<String>,
}

impl Pkcs11Account {
    pub(super) fn open(self, context: &OpenContext) -> Result<LoadedCredentials, Problem> {
        let uri: Pkcs11Uri = self.uri.parse().map_err(|error| format!("uri: {error}"))?;
        if uri.has_pin_source() && self.pin_file.is_some() {
            return Err("pin_file and the URI's pin-source exclude each other: give one of them".into());
        }
        let module = self.module.or_else(|| context.pkcs11_module.clone());
        let key = Pkcs11Key::new(module, uri).map_err(|_| "module: the path of the PKCS#11 module is expected")?;
        let pin = self.pin_file.map(Pkcs11Pin::File).or_else(|| context.pkcs11.pin.clone());
        let context = OpenContext { pkcs11: Pkcs11Options { pin, ..context.pkcs11.clone() }, ..context.clone() };
        let key = DeviceKey::Pkcs11(key);
        // A corrected PIN must cause a reload.
        let files = key.files(&context);
        let unusable = |text| Problem { text, files: files.clone() };
        let signer = key.open(&context).map_err(unusable)?;
        let email = self.client_email.or_else(|| context.key_email.clone());
        let loaded = device::service_account(signer, key.credential_type(), email, self.private_key_id, &context);
        let loaded = loaded.map_err(unusable)?;
        Ok(LoadedCredentials { files, ..loaded })
    }
}
