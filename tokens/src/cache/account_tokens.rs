//! Lists and evicts the cached tokens of one account, for run-time control.

use super::CacheTokens;
use crate::token_request::TokenRequest;
use std::time::Duration;

/// The cached tokens of one kind, without the type of the source below the cache.
pub(crate) trait AccountTokens<R>: Send + Sync {
    /// Returns the valid cached tokens of the account with this e-mail: their requests, and their remaining lifetimes.
    fn list(&self, account: &str) -> Vec<(R, Duration)>;

    /// Evicts the tokens of the account with this e-mail, and its failed fetches. The outcomes of in-flight fetches are
    /// not cached.
    fn evict(&self, account: &str);
}

impl<S: Send + Sync, R: TokenRequest> AccountTokens<R> for CacheTokens<S, R> {
    fn list(&self, account: &str) -> Vec<(R, Duration)> {
        let (tokens, now) = (self.shared.tokens.lock(), self.shared.clock.now());
        let of_account = tokens.iter().filter(|(request, _)| request.account().email == account);
        of_account.filter_map(|(request, entry)| Some((request.clone(), entry.valid_for(now)?))).collect()
    }

    fn evict(&self, account: &str) {
        self.shared.tokens.lock().retain(|request, _| request.account().email != account);
    }
}
