//! The endpoints by which services verify the offline issuer's identity tokens: the discovery document and the public
//! key in both of Google's formats (JWKS, X.509).

use super::{Key, OfflineOptions};
use crate::Route;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use gce_metadata_layers::{Query, Rejection, Represent, Representation};
use gce_metadata_routes::endpoint::{Answer, Call, Endpoint, Reply};
use gce_metadata_signer::PemSigner;
use http::HeaderValue;
use rcgen::{CertificateParams, DnType, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(super) fn routes(issuer: &str, key: &Key) -> Vec<Route> {
    vec![
        ("/.well-known/openid-configuration", Arc::new(Configuration { issuer: issuer.to_owned() })),
        (JWKS_PATH, Arc::new(PublicKeys { key: key.clone(), form: jwks })),
        ("/oauth2/v1/certs", Arc::new(PublicKeys { key: key.clone(), form: certificates })),
    ]
}

const JWKS_PATH: &str = "/oauth2/v3/certs";

/// The OpenID Connect discovery document.
struct Configuration {
    issuer: String,
}

impl Endpoint for Configuration {
    fn call(&self, call: Call<'_>) -> Reply {
        // The keys are below the issuer's URL. If that is Google's, it does not lead to this server, so the URL is made
        // from the request's host.
        let base = if self.issuer == OfflineOptions::GOOGLE {
            format!("{}://{}", call.head.scheme(), call.head.host().unwrap_or("metadata.google.internal"))
        } else {
            self.issuer.trim_end_matches('/').to_owned()
        };
        Ok(document(&json!({
            "claims_supported": ["aud", "azp", "email", "email_verified", "exp", "iat", "iss", "sub"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "issuer": self.issuer,
            "jwks_uri": format!("{base}{JWKS_PATH}"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        })))
        .into()
    }
}

/// The public key in one of its formats.
struct PublicKeys {
    key: Key,
    form: fn(&PemSigner) -> Result<Value, rcgen::Error>,
}

impl Endpoint for PublicKeys {
    fn call(&self, _: Call<'_>) -> Reply {
        let (key, form) = (self.key.clone(), self.form);
        Reply::later(async move {
            let signer = key.get().await.map_err(|error| internal(&error))?;
            form(signer)
                .map(|keys| Answer::Custom(Box::new(Keys(keys.to_string().into()))))
                .map_err(|error| internal(&error))
        })
    }
}

fn internal(error: &dyn std::error::Error) -> Rejection {
    tracing::error!("the offline issuer's public key is not available: {error}");
    Rejection::Internal
}

/// How long clients may cache the public key. Short, because a server without `--offline-key` has a new key after each start.
const KEY_MAX_AGE: Duration = Duration::from_secs(300);

/// Public keys as JSON, with the headers from which clients take the life of their cache.
struct Keys(Bytes);

impl Represent for Keys {
    fn represent(&self, _: &Query) -> Result<Representation, Rejection> {
        Ok(Representation::new(self.0.clone(), JSON).untagged().cacheable_for(KEY_MAX_AGE))
    }
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

fn document(json: &Value) -> Answer {
    Answer::Document { body: json.to_string().into(), content_type: JSON }
}

/// A JSON Web Key Set (RFC 7517).
fn jwks(signer: &PemSigner) -> Result<Value, rcgen::Error> {
    let key = signer.public_key();
    Ok(json!({"keys": [{
        "alg": signer.info().alg.to_string(),
        "e": BASE64_URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero()),
        "kid": signer.info().key_id,
        "kty": "RSA",
        "n": BASE64_URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero()),
        "use": "sig",
    }]}))
}

/// X.509 certificates in PEM by key id.
fn certificates(signer: &PemSigner) -> Result<Value, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "offline issuer");
    let certificate = params.self_signed(&CertificateKey(signer))?;
    Ok(json!({ &signer.info().key_id: certificate.pem() }))
}

/// The signer as rcgen's signing key.
struct CertificateKey<'a>(&'a PemSigner);

impl PublicKeyData for CertificateKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for CertificateKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}
