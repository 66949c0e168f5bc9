//! The common interface of the two kinds of token requests, for the layers that serve both: cache, metrics, logs.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A request for a token of either kind. The request is the key of the cache: equal requests get the same token.
pub trait TokenRequest: Clone + Eq + Hash + Send + Sync + 'static {
    /// The type of the requested token.
    type Token: Token;
    /// The name of the kind in logs and metrics: `access` or `identity`.
    const KIND: &'static str;
    /// Returns the account whose token is requested.
    fn account(&self) -> &Arc<ServiceAccount>;
}

/// A token of either kind.
pub trait Token: Clone + Send + Sync + 'static {
    /// Returns the time from now to the expiry of a new token.
    fn lifetime(&self) -> Duration;
    /// Returns the token with `left` as its remaining lifetime.
    #[must_use]
    fn with_left(self, left: Duration) -> Self;
}

impl TokenRequest for AccessTokenRequest {
    type Token = AccessToken;
    const KIND: &'static str = "access";
    fn account(&self) -> &Arc<ServiceAccount> {
        &self.account
    }
}

impl TokenRequest for IdTokenRequest {
    type Token = IdToken;
    const KIND: &'static str = "identity";
    fn account(&self) -> &Arc<ServiceAccount> {
        &self.account
    }
}

impl Token for AccessToken {
    fn lifetime(&self) -> Duration {
        self.expires_in
    }
    fn with_left(self, left: Duration) -> Self {
        Self::new(self.token, left)
    }
}

impl Token for IdToken {
    /// The time until the claim `exp`; zero if it can't be read, so that the token is not cached.
    fn lifetime(&self) -> Duration {
        time_until_exp(self.token.expose()).unwrap_or_default()
    }
    fn with_left(self, _: Duration) -> Self {
        self
    }
}

/// The time until the claim `exp`; zero if it has passed, `None` if it can't be read.
pub(super) fn time_until_exp(jwt: &str) -> Option<Duration> {
    let expiry = UNIX_EPOCH.checked_add(Duration::from_secs(exp(jwt)?))?;
    Some(expiry.duration_since(SystemTime::now()).unwrap_or_default())
}

fn exp(jwt: &str) -> Option<u64> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<serde_json::Value>(&claims).ok()?["exp"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lifetime_of_an_identity_token_ends_at_its_exp_claim() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", now + 1000));
        let lifetime = |token: String| IdToken::new(token).lifetime();
        assert!((990..=1000).contains(&lifetime(format!("e30.{claims}.c2ln")).as_secs()));
        assert_eq!(lifetime("not a token".into()), Duration::ZERO);
        assert_eq!(lifetime("e30.e30.".into()), Duration::ZERO);
    }
}
