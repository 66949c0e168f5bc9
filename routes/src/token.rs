//! The ports that tokens come through: what an endpoint asks for, what a source answers, and how it fails.
//!
//! A source is a [`tower::Service`] for each of the two kinds of token. Where it gets them from (a key, a TPM, another
//! service, nowhere real) is the source's own affair.

pub use gce_metadata_support::Secret;

use crate::accounts::ServiceAccount;
use std::sync::Arc;
use std::time::Duration;
use tower::Service;
use tower::util::BoxCloneSyncService;

/// A source of access tokens.
pub type AccessTokenSource = BoxCloneSyncService<AccessTokenRequest, AccessToken, TokenError>;

/// A source of identity tokens.
pub type IdTokenSource = BoxCloneSyncService<IdTokenRequest, IdToken, TokenError>;

/// A request for an access token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct AccessTokenRequest {
    /// Whose token.
    pub account: Arc<ServiceAccount>,
    /// What for, sorted and each once: the scopes of the request if it named any, else those of the account.
    pub scopes: Arc<[String]>,
}

impl AccessTokenRequest {
    /// A request for a token of this account with these scopes.
    pub fn new(account: Arc<ServiceAccount>, scopes: impl Into<Arc<[String]>>) -> Self {
        Self { account, scopes: scopes.into() }
    }
}

/// An access token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AccessToken {
    /// The token itself.
    pub token: Secret,
    /// For how long it is still good.
    pub expires_in: Duration,
}

impl AccessToken {
    /// A token that is good for so long.
    pub fn new(token: impl Into<Secret>, expires_in: Duration) -> Self {
        Self { token: token.into(), expires_in }
    }
}

/// A request for an identity token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct IdTokenRequest {
    /// Whose token.
    pub account: Arc<ServiceAccount>,
    /// Whom it is for: the `aud` claim. Never empty.
    pub audience: String,
    /// What it says of the VM, for `format=full`.
    pub instance: Option<InstanceClaims>,
}

impl IdTokenRequest {
    /// A request for a token of this account for this audience, which says nothing of the VM.
    pub fn new(account: Arc<ServiceAccount>, audience: impl Into<String>) -> Self {
        Self { account, audience: audience.into(), instance: None }
    }
}

/// The `google.compute_engine` claims of an identity token: what the VM is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InstanceClaims {
    /// Seconds since 1970 at which the VM was made.
    pub creation_timestamp: u64,
    /// The VM's number.
    pub id: String,
    /// The VM's name.
    pub name: String,
    /// The licenses of its image, for `licenses=TRUE`.
    pub license_ids: Option<Vec<String>>,
    /// The project's name.
    pub project_id: String,
    /// The project's number.
    pub project_number: u64,
    /// The zone's short name, such as `us-central1-a`.
    pub zone: String,
}

/// An identity token: a signed JSON Web Token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct IdToken {
    /// The token itself, in its compact form.
    pub token: Secret,
}

impl IdToken {
    /// This token.
    pub fn new(token: impl Into<Secret>) -> Self {
        Self { token: token.into() }
    }
}

/// Why there is no token. The client sees a status; what is said here is for the log.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// No source has tokens for this account: 404.
    #[error("no source of tokens for {account}")]
    NoSource {
        /// The account's e-mail.
        account: String,
    },
    /// The source refused for good: 403.
    #[error("token refused: {reason}")]
    Refused {
        /// Why, without secrets.
        reason: String,
    },
    /// More were asked for than is allowed: 429.
    #[error("too many tokens are asked for")]
    TooMany,
    /// The source can't answer now: 503.
    #[error("token source unavailable: {reason}")]
    Unavailable {
        /// Why, without secrets.
        reason: String,
    },
}

/// The sources that the router asks. Without a source of a kind its endpoint answers 404.
#[derive(Debug, Clone, Default)]
pub struct TokenSources {
    /// For `service-accounts/…/token`.
    pub access: Option<AccessTokenSource>,
    /// For `service-accounts/…/identity`.
    pub id: Option<IdTokenSource>,
}

impl TokenSources {
    /// With this source of access tokens.
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

    /// With this source of identity tokens.
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
    fn secrets_are_not_printed() {
        let token = AccessToken { token: "ya29.hidden".into(), expires_in: Duration::from_secs(1) };
        assert_eq!(format!("{token:?}"), "AccessToken { token: Secret(…), expires_in: 1s }");
        assert_eq!(token.token.expose(), "ya29.hidden");
    }
}
