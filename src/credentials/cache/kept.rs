//! The entries of a cache. Scopes and audiences come from requests, so their combinations have no end; the memory for them has.

use super::clock::Moment;
use super::entry::Entry;
use crate::credentials::kind::TokenRequest;
use foldhash::quality::RandomState;
use gce_metadata_routes::token::TokenError;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(super) const MOST_TOKENS: usize = 1024;
/// How many entries are left alone by those that are being fetched: tokens are worth most while no more can be had.
const LEAST_IDLE: usize = MOST_TOKENS / 2;

/// Locked for as long as a look takes, and never while anything is awaited.
pub(super) struct Kept<R: TokenRequest>(Mutex<Entries<R>>);

/// Hashed by what is quick, for a request hashes all its scopes. Whoever aims at the hash has [`MOST_TOKENS`] entries to gain.
pub(super) type Entries<R> = HashMap<R, Entry<<R as TokenRequest>::Token>, RandomState>;

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
    pub(super) fn lock(&self) -> MutexGuard<'_, Entries<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at an entry, if it is there.
    pub(super) fn known<T>(&self, request: &R, look: impl FnOnce(&mut Entry<R::Token>) -> T) -> Option<T> {
        self.lock().get_mut(request).map(look)
    }

    /// Looks at an entry for somebody who wants the token. A new one takes the place of one that is good for nothing, or else
    /// of the one that was wanted least recently: whoever asks for many tokens must not cost the others theirs.
    ///
    /// # Errors
    /// If there is no room for a new one, because too many others are being fetched.
    pub(super) fn wanted<T>(
        &self,
        request: &R,
        now: Moment,
        look: impl FnOnce(&mut Entry<R::Token>) -> T,
    ) -> Result<T, TokenError> {
        let mut kept = self.lock();
        if let Some(entry) = kept.get_mut(request) {
            entry.wanted(now);
            return Ok(look(entry));
        }
        if kept.len() >= MOST_TOKENS {
            let Some(least) = least(&kept, now) else {
                drop(kept);
                return Err(busy());
            };
            kept.remove(&least);
        }
        Ok(look(kept.entry(request.clone()).or_insert_with(|| Entry::new(now))))
    }
}

/// Whose entry has to go for another, if any can.
fn least<R: TokenRequest>(kept: &Entries<R>, now: Moment) -> Option<R> {
    let idle: Vec<_> = kept.iter().filter(|(_, entry)| !entry.is_in_use()).collect();
    let least = idle.iter().min_by_key(|(_, entry)| entry.worth(now));
    least.filter(|_| idle.len() > LEAST_IDLE).map(|(request, _)| (*request).clone())
}

/// What is answered to those for whose tokens there is no room or no place.
pub(super) fn busy() -> TokenError {
    let reason = "too many different tokens are being fetched, or their source is too slow for them".to_owned();
    tracing::warn!("no token: {reason}");
    TokenError::Unavailable { reason }
}
