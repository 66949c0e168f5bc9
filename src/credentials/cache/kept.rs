//! The entries of a cache. Scopes and audiences come from requests, so their combinations have no end; the memory for them has.

use super::entry::Entry;
use crate::credentials::kind::TokenRequest;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

pub(super) const MOST_TOKENS: usize = 1024;

/// Locked for as long as a look takes, and never while anything is awaited.
pub(super) struct Kept<R: TokenRequest>(Mutex<HashMap<R, Entry<R::Token>>>);

impl<R: TokenRequest> fmt::Debug for Kept<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

impl<R: TokenRequest> Default for Kept<R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<R: TokenRequest> Kept<R> {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<R, Entry<R::Token>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an entry, if it is there.
    pub(super) fn known<T>(&self, request: &R, look: impl FnOnce(&mut Entry<R::Token>) -> T) -> Option<T> {
        self.lock().get_mut(request).map(look)
    }

    /// Looks at an entry for somebody who wants the token. A new one takes the place of one that is good for nothing, or else
    /// of the one that was wanted least recently: whoever asks for many tokens must not cost the others theirs.
    pub(super) fn wanted<T>(&self, request: &R, look: impl FnOnce(&mut Entry<R::Token>) -> T) -> T {
        let mut kept = self.lock();
        if !kept.contains_key(request) && kept.len() >= MOST_TOKENS {
            let idle = kept.iter().filter(|(_, entry)| !entry.is_in_use());
            let least = idle.min_by_key(|(_, entry)| (entry.is_worth_something(), entry.wanted));
            if let Some(least) = least.map(|(request, _)| request.clone()) {
                kept.remove(&least);
            }
        }
        let entry = kept.entry(request.clone()).or_default();
        entry.wanted = Instant::now();
        look(entry)
    }
}
