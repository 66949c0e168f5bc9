//! Assertions: claims signed by a service account's key, which are exchanged for a token or are a token themselves.

use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The claims of an assertion: the holder of a service account's key signs them to get a token.
#[derive(Debug, Serialize)]
pub struct Assertion<'a> {
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
    /// The lifetime of an assertion: one hour, the longest that Google accepts.
    pub const LIFETIME: Duration = Duration::from_secs(3600);

    /// Claims to exchange at `token_uri` for an access token. `scope` is a list of scopes, separated by spaces.
    #[must_use]
    pub fn for_access_token(email: &'a str, token_uri: &'a str, scope: &'a str) -> Self {
        Self { aud: Some(token_uri), scope: Some(scope), ..Self::new(email) }
    }

    /// Claims to exchange at `token_uri` for an identity token for `audience`.
    #[must_use]
    pub fn for_id_token(email: &'a str, token_uri: &'a str, audience: &'a str) -> Self {
        Self { aud: Some(token_uri), target_audience: Some(audience), ..Self::new(email) }
    }

    /// The claims of a self-signed token, which Google's own APIs accept as an access token. `scope` is a list of
    /// scopes, separated by spaces.
    #[must_use]
    pub fn as_access_token(email: &'a str, scope: &'a str) -> Self {
        Self { scope: Some(scope), ..Self::new(email) }
    }

    fn new(email: &'a str) -> Self {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let exp = iat + Self::LIFETIME.as_secs();
        Self { iss: email, sub: email, aud: None, scope: None, target_audience: None, iat, exp }
    }
}
