//! What the two kinds of tokens have in common, for whoever treats them alike: the cache and the counters.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest};
use std::hash::Hash;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A request for either kind of token. Equal requests are answered with the same token.
pub trait TokenRequest: Clone + Eq + Hash + Send + Sync + 'static {
    /// What it is answered with.
    type Token: Token;
    /// What logs and metrics call the kind.
    const KIND: &'static str;
    /// Whose token.
    fn account(&self) -> &ServiceAccount;
}

/// A token of either kind.
pub trait Token: Clone + Send + Sync + 'static {
    /// For how long a new one is good.
    fn lifetime(&self) -> Duration;
    /// The same token when only so much of its life is left.
    fn with_left(self, left: Duration) -> Self;
}

impl TokenRequest for AccessTokenRequest {
    type Token = AccessToken;
    const KIND: &'static str = "access";
    fn account(&self) -> &ServiceAccount {
        &self.account
    }
}

impl TokenRequest for IdTokenRequest {
    type Token = IdToken;
    const KIND: &'static str = "identity";
    fn account(&self) -> &ServiceAccount {
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
    /// Until its `exp`. One that can't be read has no life, and so is never served again.
    fn lifetime(&self) -> Duration {
        let expiry = exp(self.token.expose()).map(Duration::from_secs).and_then(|exp| UNIX_EPOCH.checked_add(exp));
        expiry.and_then(|expiry| expiry.duration_since(SystemTime::now()).ok()).unwrap_or_default()
    }
    fn with_left(self, _: Duration) -> Self {
        self
    }
}

fn exp(jwt: &str) -> Option<u64> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<serde_json::Value>(&claims).ok()?["exp"].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_token_says_itself_how_long_it_lives() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", now + 1000));
        let lifetime = |token: String| IdToken::new(token).lifetime();
        assert!((990..=1000).contains(&lifetime(format!("e30.{claims}.c2ln")).as_secs()));
        assert_eq!(lifetime("not a token".into()), Duration::ZERO);
        assert_eq!(lifetime("e30.e30.".into()), Duration::ZERO);
    }
}
