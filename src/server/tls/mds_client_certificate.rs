//! Endpoint `instance/credentials/mds-client-certificate`: the client's certificate and key, sealed to the VM's TPM, as the guest
//! agent fetches them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, RandomizedNonceKey};
use aws_lc_rs::rand::fill;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_routes::Leaf;
use gce_metadata_routes::endpoint::{Answer, Call, Endpoint, Reply};
use gce_metadata_signer::{EndorsementKey, SealError};
use http::HeaderValue;
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use zeroize::Zeroizing;

/// The current sealed credentials. Clones share them.
#[derive(Debug, Clone)]
pub(in crate::server) struct MdsClientCertificate {
    key: EndorsementKey,
    sealed: Arc<RwLock<Value>>,
}

impl MdsClientCertificate {
    /// Its path in listings.
    pub(super) const PATH: &str = "instance/credentials/mds-client-certificate";
    const ROUTE: &str = "/computeMetadata/v1/instance/credentials/mds-client-certificate";

    pub(super) fn new(key: EndorsementKey) -> Self {
        Self { key, sealed: Arc::default() }
    }

    /// Replaces the credentials, a certificate and its key in PEM.
    pub(super) fn replace(&self, credentials: &str) -> Result<(), SealError> {
        let sealed = seal(&self.key, credentials)?;
        *self.sealed.write().unwrap_or_else(PoisonError::into_inner) = sealed;
        Ok(())
    }

    /// The route and its endpoint.
    pub(in crate::server) fn route(self) -> (&'static str, Arc<dyn Endpoint>) {
        (Self::ROUTE, Arc::new(self))
    }

    pub(super) fn json(&self) -> Value {
        self.sealed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Endpoint for MdsClientCertificate {
    fn call(&self, _: Call<'_>) -> Reply {
        let (leaf, text_type) = (Leaf::json_by_default(self.json()), HeaderValue::from_static("application/text"));
        Ok(Answer::computed(leaf, text_type)).into()
    }
}

/// Seals the credentials. A TPM can import only a short secret, so an AES key is sealed, and the
/// credentials are encrypted with it.
fn seal(key: &EndorsementKey, credentials: &str) -> Result<Value, SealError> {
    let mut secret = Zeroizing::new([0; 32]);
    fill(&mut *secret)?;
    let mut encrypted = credentials.as_bytes().to_vec();
    let nonce =
        RandomizedNonceKey::new(&AES_256_GCM, &*secret)?.seal_in_place_append_tag(Aad::empty(), &mut encrypted)?;
    let blob = key.seal(&*secret)?;
    let base64 = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    Ok(json!({
        "encrypted_credentials": base64(&[&nonce.as_ref()[..], &encrypted].concat()),
        "key_import_blob": {
            "duplicate": base64(&blob.duplicate),
            "encrypted_seed": base64(&blob.encrypted_seed),
            "public_area": base64(&blob.public_area),
        },
    }))
}
