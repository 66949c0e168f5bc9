//! Invalidation of cached tokens: after a change of credentials, when a source recovers, or when Google rejects a
//! token.

use super::{CacheTokens, Shared};
use crate::fetch_error::FetchError;
use crate::token_request::TokenRequest;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use tower::Service;

/// The invalidation of an account's cached tokens after a change of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalidation {
    /// The account's credentials are unchanged: its tokens are kept.
    Keep,
    /// The account has new credentials of the same identity: its tokens are stale, and served until they are refreshed.
    Refresh,
    /// The account has lost its credentials, or has those of another identity: its tokens are dropped.
    Evict,
}

impl<S, R: TokenRequest> CacheTokens<S, R> {
    /// Applies `invalidation` to each account's tokens. In-flight fetches for stale and dropped tokens are not cached.
    pub(crate) fn invalidate(&self, invalidation: &dyn Fn(&ServiceAccount) -> Invalidation) {
        self.shared.tokens.lock().retain(|request, entry| match invalidation(request.account()) {
            Invalidation::Keep => true,
            Invalidation::Refresh => entry.mark_stale(),
            Invalidation::Evict => false,
        });
    }

    /// Drops the cached token if `is_rejected` holds for it.
    pub(crate) fn evict_if(&self, request: &R, is_rejected: impl Fn(&R::Token) -> bool) {
        self.shared.tokens.update(request, |entry| entry.evict_if(is_rejected));
    }
}

impl<S, R> CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    /// Fetches a token even if one is cached. The cached one stays if the fetch fails.
    pub(crate) async fn refresh(&self, request: &R) -> Result<R::Token, TokenError> {
        let Shared { tokens, clock, .. } = &*self.shared;
        let fetch_lock = tokens.touch(request, clock.now(), |entry| Arc::clone(&entry.fetch_lock))?;
        let _locked = Arc::clone(&fetch_lock).lock_owned().await;
        let requested_at = clock.now();
        let failed = tokens.touch(request, requested_at, |entry| entry.failed_since(requested_at, requested_at))?;
        if let Some(error) = failed {
            return Err(error);
        }
        let outcome = self.shared.fetch(request, &fetch_lock).await;
        let failed = tokens.update(request, |entry| entry.failed_since(requested_at, clock.now())).flatten();
        failed.map_or(outcome, Err)
    }
}
