//! JSON Web Signatures in compact form, assembled here and signed elsewhere.

use crate::signer::{BoxSigner, KeyInfo, SignError, SignRequest};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_routes::token::Secret;
use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower::ServiceExt;

#[derive(Serialize)]
struct Header<'a> {
    alg: String,
    kid: &'a str,
    typ: &'static str,
}

/// The claims with which a service account vouches for itself. Whoever has its key, be it in a file or in a chip, gets tokens
/// with them.
#[derive(Debug, Serialize)]
pub(crate) struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_audience: Option<&'a str>,
    iat: u64,
    exp: u64,
}

impl<'a> Assertion<'a> {
    /// What Google grants at most.
    pub(crate) const LIFETIME: Duration = Duration::from_secs(3600);

    /// To be exchanged at `token_uri` for an access token of these scopes, separated by spaces.
    pub(crate) fn for_access_token(email: &'a str, token_uri: &'a str, scope: &'a str) -> Self {
        Self { aud: Some(token_uri), scope: Some(scope), ..Self::new(email) }
    }

    /// To be exchanged at `token_uri` for an identity token for this audience.
    pub(crate) fn for_id_token(email: &'a str, token_uri: &'a str, audience: &'a str) -> Self {
        Self { aud: Some(token_uri), target_audience: Some(audience), ..Self::new(email) }
    }

    /// A self-signed token, which Google's own APIs take for an access token of these scopes.
    pub(crate) fn as_access_token(email: &'a str, scope: &'a str) -> Self {
        Self { scope: Some(scope), ..Self::new(email) }
    }

    fn new(email: &'a str) -> Self {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let exp = iat + Self::LIFETIME.as_secs();
        Self { iss: email, sub: email, aud: None, scope: None, target_audience: None, iat, exp }
    }
}

/// Signs these claims.
pub(crate) async fn sign(signer: BoxSigner, key: &KeyInfo, claims: &impl Serialize) -> Result<Secret, SignError> {
    let header = Header { alg: key.alg.to_string(), kid: &key.key_id, typ: "JWT" };
    let signing_input = format!("{}.{}", encoded(&header)?, encoded(claims)?);
    let request = SignRequest { alg: key.alg, message: signing_input.clone().into() };
    let signature = signer.oneshot(request).await?;
    Ok(format!("{signing_input}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.0)).into())
}

fn encoded(part: &impl Serialize) -> Result<String, SignError> {
    let json = serde_json::to_vec(part).map_err(|error| SignError::Failed(error.to_string()))?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(json))
}
