//! The ports of token sources: requests, tokens and errors.
//!
//! A token source is a [`tower::Service`] from a request to a token, one for access tokens and one for identity tokens. It may get tokens
//! from a key, a TPM or another service, or make them up.

pub use gce_metadata_support::Secret;

use crate::accounts::ServiceAccount;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tower::Service;
use tower::util::BoxCloneSyncService;

/// A source of access tokens.
pub type AccessTokenSource = BoxCloneSyncService<AccessTokenRequest, AccessToken, TokenError>;

/// A source of identity tokens.
pub type IdTokenSource = BoxCloneSyncService<IdTokenRequest, IdToken, TokenError>;

/// A request for an access token.
///
/// Requests are equal if account and granted scopes are: they get the same token, and a cache fetches it for the first of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessTokenRequest {
    /// The service account that the token is for.
    pub account: Arc<ServiceAccount>,
    /// The OAuth scopes to grant, sorted and without duplicates: the requested ones that the account has, or else all scopes of the
    /// account.
    pub scopes: Arc<[String]>,
    /// The scopes that the client requested, in its order; `None` if it requested none.
    pub requested: Option<Arc<[String]>>,
}

impl PartialEq for AccessTokenRequest {
    fn eq(&self, other: &Self) -> bool {
        (&self.account, &self.scopes) == (&other.account, &other.scopes)
    }
}

impl Eq for AccessTokenRequest {}

impl Hash for AccessTokenRequest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.account, &self.scopes).hash(state);
    }
}

impl AccessTokenRequest {
    /// A request for a token of this account with these scopes.
    pub fn new(account: Arc<ServiceAccount>, scopes: impl Into<Arc<[String]>>) -> Self {
        Self { account, scopes: scopes.into(), requested: None }
    }

    /// Sets the scopes that the client requested.
    #[must_use]
    pub fn with_requested(self, scopes: impl Into<Arc<[String]>>) -> Self {
        Self { requested: Some(scopes.into()), ..self }
    }
}

/// An OAuth access token and its lifetime.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token.
    pub token: Secret,
    /// The remaining lifetime.
    pub expires_in: Duration,
}

impl AccessToken {
    /// A token with this remaining lifetime.
    pub fn new(token: impl Into<Secret>, expires_in: Duration) -> Self {
        Self { token: token.into(), expires_in }
    }
}

/// A request for an identity token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IdTokenRequest {
    /// The service account that the token is for.
    pub account: Arc<ServiceAccount>,
    /// The audience: the `aud` claim. Never empty.
    pub audience: String,
    /// The claims about the VM, for `format=full`.
    pub instance: Option<InstanceClaims>,
}

impl IdTokenRequest {
    /// A request for a token of this account and audience, without claims about the VM.
    pub fn new(account: Arc<ServiceAccount>, audience: impl Into<String>) -> Self {
        Self { account, audience: audience.into(), instance: None }
    }
}

/// The `google.compute_engine` claims of an identity token, which describe the VM.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InstanceClaims {
    /// The creation time of the VM, in seconds since 1970.
    pub creation_timestamp: u64,
    /// The numeric ID of the VM.
    pub id: String,
    /// The name of the VM.
    pub name: String,
    /// The license IDs of the image, for `licenses=TRUE`.
    pub license_ids: Option<Vec<String>>,
    /// The project ID.
    pub project_id: String,
    /// The project number.
    pub project_number: u64,
    /// The short name of the zone, such as `us-central1-a`.
    pub zone: String,
}

/// An identity token: a signed JSON Web Token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdToken {
    /// The token in its compact serialization.
    pub token: Secret,
}

impl IdToken {
    /// An identity token in its compact serialization.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self { token: token.into() }
    }
}

/// Why a source has no token. The client gets the status; the reason is logged.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No source has tokens for this account: 404.
    #[error("no source of tokens for {account}")]
    NoSource {
        /// The account's e-mail.
        account: String,
    },
    /// The credentials were refused, and retrying does not help: 403.
    #[error("token refused: {reason}")]
    Refused {
        /// The reason, without secrets.
        reason: String,
    },
    /// A rate limit is exceeded: 429.
    #[error("too many token requests")]
    TooMany,
    /// The source is temporarily unavailable: 503.
    #[error("token source unavailable: {reason}")]
    Unavailable {
        /// The reason, without secrets.
        reason: String,
    },
}

/// The token sources of a router. Without a source, the endpoint of that kind of token answers 404.
#[derive(Debug, Clone, Default)]
pub struct TokenSources {
    /// The source for `service-accounts/…/token`.
    pub access: Option<AccessTokenSource>,
    /// The source for `service-accounts/…/identity`.
    pub id: Option<IdTokenSource>,
}

impl TokenSources {
    /// Sets the source of access tokens.
    #[must_use]
    pub fn with_access(
        self,
        source: impl Service<AccessTokenRequest, Response = AccessToken, Error = TokenError, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { access: Some(AccessTokenSource::new(source)), ..self }
    }

    /// Sets the source of identity tokens.
    #[must_use]
    pub fn with_id(
        self,
        source: impl Service<IdTokenRequest, Response = IdToken, Error = TokenError, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self { id: Some(IdTokenSource::new(source)), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_equal_if_they_get_the_same_token() {
        let account = Arc::new(ServiceAccount::new("a@example.com", vec![], vec![]));
        let request = |scope: &str| AccessTokenRequest::new(Arc::clone(&account), [scope.to_owned()]);
        let hash = |request: &AccessTokenRequest| {
            let mut hasher = std::hash::DefaultHasher::new();
            request.hash(&mut hasher);
            hasher.finish()
        };
        let requested = request("a").with_requested(["a".to_owned(), "b".to_owned()]);
        assert_eq!((&requested, hash(&requested)), (&request("a"), hash(&request("a"))));
        assert_ne!(requested, request("b"));
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = AccessToken { token: "ya29.hidden".into(), expires_in: Duration::from_secs(1) };
        assert_eq!(format!("{token:?}"), "AccessToken { token: Secret(…), expires_in: 1s }");
        assert_eq!(token.token.expose(), "ya29.hidden");
    }
}
