//! What happens to tokens that are there: their credentials change, their source comes back, one turns out to be no good.

use super::{CacheTokens, Shared};
use crate::credentials::failure::Failure;
use crate::credentials::kind::TokenRequest;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use tower::Service;

/// What becomes of an account's tokens when credentials are others than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its credentials are what they were.
    Keep,
    /// They serve until its new credentials have made theirs.
    Renew,
    /// It has no credentials any more, or somebody else's.
    Forget,
}

impl<S, R: TokenRequest> CacheTokens<S, R> {
    /// Asks of each token what becomes of it. Nothing is kept of what is on its way for those that are not to be kept.
    pub(crate) fn revise(&self, fate: &dyn Fn(&ServiceAccount) -> Fate) {
        self.shared.tokens.lock().retain(|request, entry| match fate(request.account()) {
            Fate::Keep => true,
            Fate::Renew => entry.outdate(),
            Fate::Forget => false,
        });
    }

    /// Forgets a token that turned out to be no good. What has come in its place since is another one.
    pub(crate) fn forget(&self, request: &R, is_it: impl Fn(&R::Token) -> bool) {
        self.shared.tokens.known(request, |entry| entry.forget(is_it));
    }
}

impl<S, R> CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<Failure>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    /// Asks the source though there may be a token, which serves on if that fails.
    pub(crate) async fn renew(&self, request: &R) -> Result<R::Token, TokenError> {
        let Shared { tokens, clock, .. } = &*self.shared;
        let turn = tokens.wanted(request, clock.now(), |entry| Arc::clone(&entry.turn))?;
        let _held = Arc::clone(&turn).lock_owned().await;
        let asked = clock.now();
        if let Some(error) = tokens.wanted(request, asked, |entry| entry.failed_since(asked, asked))? {
            return Err(error);
        }
        let outcome = self.shared.ask(request, &turn).await;
        tokens.known(request, |entry| entry.failed_since(asked, clock.now())).flatten().map_or(outcome, Err)
    }
}
