//! The answers of OAuth token endpoints, and deserializers for credentials.

use super::form::Form;
use super::upstream::{Upstream, unavailable};
use crate::fetch_error::FetchError;
use gce_metadata_routes::token::{AccessToken, IdToken, Secret};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const ACCESS_TOKEN_TYPE: &str = "urn:ietf:params:oauth:token-type:access_token";

/// The lifetime in seconds of a token whose answer has no `expires_in`.
const LIFETIME: u64 = 3600;

#[derive(Deserialize)]
struct Granted {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<Secret>,
    #[serde(default, deserialize_with = "secret")]
    id_token: Option<Secret>,
    expires_in: Option<u64>,
}

/// Deserializes an optional secret, which is wiped from memory when dropped.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|secret| secret.map(Secret::from))
}

/// Deserializes a required secret.
pub(super) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::from)
}

/// Deserializes an optional name, such as that of a universe; an empty name is `None`.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|name| name.filter(|name| !name.is_empty()))
}

/// Exchanges the form for an access token.
pub(super) async fn access_token(upstream: &Upstream, url: &str, form: Form) -> Result<AccessToken, FetchError> {
    let granted: Granted = upstream.post_form(url, form).await?;
    let token = granted.access_token.ok_or_else(|| unavailable("an answer without access_token".to_owned()))?;
    Ok(AccessToken::new(token, Duration::from_secs(granted.expires_in.unwrap_or(LIFETIME))))
}

/// Exchanges the form for an identity token.
pub(super) async fn id_token(upstream: &Upstream, url: &str, form: Form) -> Result<IdToken, FetchError> {
    let granted: Granted = upstream.post_form(url, form).await?;
    let token = granted.id_token.ok_or_else(|| unavailable("an answer without id_token".to_owned()))?;
    Ok(IdToken::new(token))
}
