//! The entries of the cache and their eviction. Clients choose scopes and audiences freely, so the number of entries is
//! bounded.

use super::entry::Entry;
use crate::token_request::TokenRequest;
use foldhash::quality::RandomState;
use gce_metadata_routes::token::TokenError;
use gce_metadata_support::clock::Moment;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The maximum of entries.
pub(super) const MAX_TOKENS: usize = 1024;
/// An entry is evicted only while more than this many are evictable. So in-flight fetches can't displace all cached
/// tokens, which are the only tokens to serve while a source is down.
const MIN_EVICTABLE: usize = MAX_TOKENS / 2;

/// The entries. The mutex is held for one look-up, never across an await.
pub(super) struct TokenStore<R: TokenRequest>(Mutex<Entries<R>>);

/// A fast hash, because hashing a request hashes all its scopes. A client that provokes collisions slows down at most
/// [`MAX_TOKENS`] entries.
pub(super) type Entries<R> = HashMap<R, Entry<<R as TokenRequest>::Token>, RandomState>;

impl<R: TokenRequest> fmt::Debug for TokenStore<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStore").finish_non_exhaustive()
    }
}

impl<R: TokenRequest> Default for TokenStore<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: TokenRequest> TokenStore<R> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `update` with the entry, if it exists. This does not count as a use.
    pub(super) fn update<T>(&self, request: &R, update: impl FnOnce(&mut Entry<R::Token>) -> T) -> Option<T> {
        self.lock().get_mut(request).map(update)
    }

    /// Calls `look` with the entry, created if needed, and marks it as used now. In a full cache a new entry evicts
    /// another one.
    ///
    /// # Errors
    /// If a new entry is needed and too few entries are evictable, because too many are being fetched.
    pub(super) fn touch<T>(
        &self,
        request: &R,
        now: Moment,
        look: impl FnOnce(&mut Entry<R::Token>) -> T,
    ) -> Result<T, TokenError> {
        let mut entries = self.lock();
        if let Some(entry) = entries.get_mut(request) {
            entry.touch(now);
            return Ok(look(entry));
        }
        if entries.len() >= MAX_TOKENS {
            let Some(evicted) = eviction_candidate(&entries, now) else {
                drop(entries);
                return Err(overloaded());
            };
            entries.remove(&evicted);
        }
        Ok(look(entries.entry(request.clone()).or_insert_with(|| Entry::new(now))))
    }
}

/// The entry to evict: the lowest rank among the entries that are not in use.
fn eviction_candidate<R: TokenRequest>(entries: &Entries<R>, now: Moment) -> Option<R> {
    let evictable: Vec<_> = entries.iter().filter(|(_, entry)| !entry.is_in_use()).collect();
    let lowest = evictable.iter().min_by_key(|(_, entry)| entry.eviction_rank(now));
    lowest.filter(|_| evictable.len() > MIN_EVICTABLE).map(|(request, _)| (*request).clone())
}

/// The error of a request for which the cache has no room, or no fetch slot.
pub(super) fn overloaded() -> TokenError {
    let reason = "too many different tokens are being fetched, or their source is too slow for them".to_owned();
    tracing::warn!("no token: {reason}");
    TokenError::Unavailable { reason }
}
