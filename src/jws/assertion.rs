//! Assertions: what a service account's key signs to get tokens, or as one.

use serde::Serialize;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
