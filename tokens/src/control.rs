//! Control of tokens at run time: tests give a token, change how the offline issuer makes tokens, or drop cached tokens.
//!
//! [`TokenControl`] is the handle. The overrides that it sets (`overrides.rs`) are read by the layer
//! [`OverrideTokens`](crate::override_tokens). The layer does not know the handle, which holds the caches below the
//! layer: it would own itself.

mod overrides;
mod status;

pub(crate) use overrides::{Overridable, Override, Overrides};
pub use status::{CachedAccessToken, CachedIdToken, GivenStatus, IdTokenFormat, KindStatus, TokenStatus};

use super::cache::AccountTokens;
use super::health::SourceHealth;
use super::inject_fetch_faults::FetchFaults;
use super::source_info::SourceInfo;
use super::token_request::TokenRequest;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

/// Tokens that an account's endpoints answer from now on.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The access token, for all scopes. Its `expires_in` counts down by whole seconds.
    pub access_token: Option<AccessToken>,
    /// The identity token, for all audiences and formats. It ends at its claim `exp`; without a claim that can be read,
    /// it never ends.
    pub id_token: Option<IdToken>,
    /// The answer after a token has ended.
    pub then: Then,
}

/// The answer after a given token has ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Then {
    /// The account's source answers again.
    #[default]
    Source,
    /// Requests are answered 503.
    Unavailable,
}

/// How the offline issuer makes the tokens of an account. `None` means the default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// The lifetime of tokens, within [`LIFETIMES`](Self::LIFETIMES). The default is
    /// [`OfflineOptions::token_lifetime`](crate::OfflineOptions::token_lifetime).
    pub lifetime: Option<Duration>,
    /// The seconds by which the reported `expires_in` of an access token exceeds its remaining lifetime, within
    /// [`SKEWS`](Self::SKEWS). A negative skew makes clients refresh early; with a positive skew a token ends before its
    /// reported expiry. The reported value is at least 1, because Google's libraries for Go refuse 0. Identity tokens have
    /// no `expires_in` and no skew.
    pub skew: Option<i64>,
    /// Whether a token is served from the cache. With `false` each request gets a new token, concurrent requests too.
    pub reuse: Option<bool>,
}

impl Behaviour {
    /// The lifetimes that can be set: 1 second to 12 hours, which is the longest lifetime of a Google access token.
    pub const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(12 * 3600);

    /// The skews that can be set, as long as the longest lifetime. A larger one does not fit into the integers of some clients.
    pub const SKEWS: RangeInclusive<i64> = -12 * 3600..=12 * 3600;

    /// The remaining lifetime to report for a token with `left` as its remaining lifetime.
    pub(crate) fn reported(&self, left: Duration) -> Duration {
        let skew = self.skew.unwrap_or_default();
        let by = Duration::from_secs(skew.unsigned_abs());
        let reported = if skew < 0 { left.saturating_sub(by) } else { left.saturating_add(by) };
        if skew == 0 { left } else { reported.max(Duration::from_secs(1)) }
    }
}

/// The error of a change of tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The tokens are not those of the offline issuer.
    #[error(
        "only tokens of the offline issuer can have a lifetime, skew or reuse; these are from the source {source_type}"
    )]
    NotOffline {
        /// The type of the credentials.
        source_type: &'static str,
    },
    /// The lifetime is outside of [`Behaviour::LIFETIMES`].
    #[error("a lifetime of {} s: must be from 1 second to 12 hours", .lifetime.as_secs_f64())]
    Lifetime {
        /// The refused lifetime.
        lifetime: Duration,
    },
    /// The skew is outside of [`Behaviour::SKEWS`].
    #[error("a skew of {skew} s: must be from -43200 to 43200 seconds")]
    Skew {
        /// The refused skew.
        skew: i64,
    },
}

/// A handle that controls the tokens of a source while it is served. Clones control the same source.
///
/// Accounts are named by their e-mail. Settings for an account that is not in the metadata have no effect until the account
/// is added.
///
/// ```
/// use gce_metadata_routes::ServiceAccount;
/// use gce_metadata_routes::token::{AccessToken, AccessTokenRequest};
/// use gce_metadata_tokens::{CredentialSource, Given};
/// use std::time::Duration;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let credentials = CredentialSource::default().open()?;
/// let token = AccessToken::new("ya29.given", Duration::from_secs(60));
/// credentials.control().give("vm@example.com", Given { access_token: Some(token), ..Given::default() });
///
/// let account = ServiceAccount::new("vm@example.com", vec![], vec![]).into();
/// let source = credentials.tokens().access.ok_or("no access tokens")?;
/// let answer = source.oneshot(AccessTokenRequest::new(account, [])).await?;
/// assert_eq!(answer.token.expose(), "ya29.given");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TokenControl {
    source_type: &'static str,
    health: SourceHealth,
    overrides: Overrides,
    /// `None` for a source without a cache.
    access: Option<Arc<dyn AccountTokens<AccessTokenRequest>>>,
    id: Option<Arc<dyn AccountTokens<IdTokenRequest>>>,
    is_offline: bool,
}

impl fmt::Debug for TokenControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenControl").field("source_type", &self.source_type).finish_non_exhaustive()
    }
}

impl TokenControl {
    /// Controls a source without a cache.
    pub(crate) fn new(info: &SourceInfo, overrides: Overrides) -> Self {
        let (source_type, health) = (info.credential_type, info.health.clone());
        Self { source_type, health, overrides, access: None, id: None, is_offline: false }
    }

    /// Adds the caches of the source.
    #[must_use]
    pub(crate) fn with_caches(
        self,
        access: impl AccountTokens<AccessTokenRequest> + 'static,
        id: impl AccountTokens<IdTokenRequest> + 'static,
    ) -> Self {
        Self { access: Some(Arc::new(access)), id: Some(Arc::new(id)), ..self }
    }

    /// Allows to set a [`Behaviour`], which the source must follow.
    #[must_use]
    pub(crate) fn offline(self) -> Self {
        Self { is_offline: true, ..self }
    }

    /// The overrides, for further paths of the same accounts.
    pub(crate) fn overrides(&self) -> Overrides {
        self.overrides.clone()
    }

    /// Returns the state of the tokens of the account with this e-mail.
    pub fn status(&self, account: &str) -> TokenStatus {
        let access = self.access.as_ref().map_or_else(Vec::new, |cache| cache.list(account));
        let access =
            access.into_iter().map(|(request, expires_in)| CachedAccessToken { scopes: request.scopes, expires_in });
        let id = self.id.as_ref().map_or_else(Vec::new, |cache| cache.list(account));
        let id = id.into_iter().map(|(request, expires_in)| {
            let format = match &request.instance {
                None => IdTokenFormat::Standard,
                Some(instance) if instance.license_ids.is_none() => IdTokenFormat::Full,
                Some(_) => IdTokenFormat::FullWithLicenses,
            };
            CachedIdToken { audience: request.audience, format, expires_in }
        });
        let [access_given, id_given] = self.overrides.given(account);
        TokenStatus {
            account: account.to_owned(),
            source: self.source_type,
            access: self.kind_status::<AccessTokenRequest, _>(account, access, access_given),
            id: self.kind_status::<IdTokenRequest, _>(account, id, id_given),
            behaviour: self.overrides.behaviour(account),
        }
    }

    fn kind_status<R: TokenRequest, C: Ord>(
        &self,
        account: &str,
        cached: impl Iterator<Item = C>,
        given: Option<GivenStatus>,
    ) -> KindStatus<C> {
        let mut cached: Vec<_> = cached.collect();
        cached.sort_unstable();
        KindStatus { cached, given, last_error: self.health.error(account, R::KIND).map(|error| error.to_string()) }
    }

    /// Answers requests for the account's tokens with these tokens until they end. Every source allows it.
    ///
    /// They replace tokens that were given before: a kind of token that `given` does not have comes from the source.
    /// Cached tokens and the account's [behaviour](Self::behave) are kept for the time after.
    pub fn give(&self, account: &str, given: Given) {
        self.overrides.give(account, given);
    }

    /// Sets how the offline issuer makes the account's tokens, from the next request on. Cached tokens are dropped. The
    /// default behaviour undoes it. Given tokens stay as they are.
    ///
    /// # Errors
    /// If the source is not the offline issuer, or the lifetime or skew is out of range. Nothing is changed then.
    pub fn behave(&self, account: &str, behaviour: Behaviour) -> Result<(), ControlError> {
        if !self.is_offline {
            return Err(ControlError::NotOffline { source_type: self.source_type });
        }
        if let Some(lifetime) = behaviour.lifetime.filter(|lifetime| !Behaviour::LIFETIMES.contains(lifetime)) {
            return Err(ControlError::Lifetime { lifetime });
        }
        if let Some(skew) = behaviour.skew.filter(|skew| !Behaviour::SKEWS.contains(skew)) {
            return Err(ControlError::Skew { skew });
        }
        self.overrides.behave(account, behaviour);
        // After the change: the outcome of a fetch that started before is not cached then.
        self.rotate(account);
        Ok(())
    }

    /// Injects these faults into fetches, below the cache. Only the first call has an effect.
    pub fn inject_faults(&self, faults: Arc<dyn FetchFaults>) {
        self.overrides.inject_faults(faults);
    }

    /// Undoes [`give`](Self::give) and [`behave`](Self::behave) for this account. Tokens that were made with another
    /// behaviour are dropped from the cache.
    pub fn clear(&self, account: &str) {
        if self.overrides.clear(account) {
            self.rotate(account);
        }
    }

    /// Undoes [`give`](Self::give) and [`behave`](Self::behave) for all accounts.
    pub fn clear_all(&self) {
        for account in self.overrides.accounts() {
            self.clear(&account);
        }
    }

    /// Drops the account's tokens from the cache, so that the source makes a new token for the next request. A fetch that
    /// is in flight answers the requests that started it, and its token is not cached.
    ///
    /// Given tokens stay. A fixed token, and a source of the embedder's own, are not cached here: rotating them changes
    /// nothing.
    pub fn rotate(&self, account: &str) {
        if let Some(cache) = &self.access {
            cache.evict(account);
        }
        if let Some(cache) = &self.id {
            cache.evict(account);
        }
    }
}

#[cfg(test)]
mod tests;
