//! JSON Web Signatures (RFC 7515) in compact form, signed by any signer.

mod assertion;

pub use assertion::Assertion;

use crate::{BoxSigner, JwsAlgorithm, SignError, SignRequest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_support::Secret;
use serde::Serialize;
use tower::ServiceExt;

#[derive(Serialize)]
struct Header<'a> {
    alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    typ: &'static str,
}

/// Signs `claims` and returns the token in compact form. `key_id` becomes the `kid` of the header, by which verifiers
/// find the key.
///
/// # Errors
/// If the claims can't be serialized, or the signer fails.
pub async fn sign(
    signer: BoxSigner,
    alg: JwsAlgorithm,
    key_id: Option<&str>,
    claims: &impl Serialize,
) -> Result<Secret, SignError> {
    let header = Header { alg: alg.to_string(), kid: key_id, typ: "JWT" };
    let signing_input = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let request = SignRequest { alg, message: signing_input.clone().into() };
    let signature = signer.oneshot(request).await?;
    Ok(format!("{signing_input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.0)).into())
}

fn encoded(part: &impl Serialize) -> Result<String, SignError> {
    let json = serde_json::to_vec(part).map_err(|error| SignError::Failed(error.to_string()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}
