//! The state of an account's tokens, for people and monitoring. It never contains a token.

use super::{Behaviour, Then};
use std::sync::Arc;
use std::time::Duration;

/// The state of an account's tokens, from [`TokenControl::status`](super::TokenControl::status). It contains no token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenStatus {
    /// The e-mail of the account.
    pub account: String,
    /// The type of the credentials, as [`SourceInfo::credential_type`](crate::SourceInfo::credential_type).
    pub source: &'static str,
    /// The state of access tokens.
    pub access: KindStatus<CachedAccessToken>,
    /// The state of identity tokens.
    pub id: KindStatus<CachedIdToken>,
    /// The behaviour that is set at run time.
    pub behaviour: Option<Behaviour>,
}

/// The state of an account's tokens of one kind. `C` describes a cached token.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KindStatus<C> {
    /// The valid tokens of the source in the cache, sorted by scopes or audience. Empty for a source without a cache.
    pub cached: Vec<C>,
    /// The token that was given at run time, unless it has ended and the source answers again.
    pub given: Option<GivenStatus>,
    /// The error of the last fetch from the source, if that fetch failed; without secrets.
    pub last_error: Option<String>,
}

/// A token that was given at run time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GivenStatus {
    /// The time until the token ends: zero if it has ended, `None` if it never ends.
    pub expires_in: Option<Duration>,
    /// The answer after the token has ended.
    pub then: Then,
}

/// An access token in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CachedAccessToken {
    /// The scopes of the token, sorted.
    pub scopes: Arc<[String]>,
    /// The time until the token expires, without the [skew](Behaviour::skew) of the answers.
    pub expires_in: Duration,
}

/// An identity token in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct CachedIdToken {
    /// The audience of the token.
    pub audience: String,
    /// The format of the token. Some live sources ignore the format, and cache their tokens as
    /// [`Standard`](IdTokenFormat::Standard) or [`Full`](IdTokenFormat::Full) for all requests.
    pub format: IdTokenFormat,
    /// The time until the token expires.
    pub expires_in: Duration,
}

/// The format of an identity token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum IdTokenFormat {
    /// `format=standard`: without claims about the VM.
    Standard,
    /// `format=full`: with claims about the VM.
    Full,
    /// `format=full&licenses=TRUE`: with the license IDs of the VM's image too.
    FullWithLicenses,
}
