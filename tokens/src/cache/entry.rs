//! A cache entry: its token, when the token is served or refreshed, and the last failed fetch.

use crate::fetch_error::{FetchError, MAX_RETRY_AFTER};
use crate::token_request::Token;
use gce_metadata_routes::token::TokenError;
use gce_metadata_support::clock::Moment;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The expiry margin, as on GCE: a token with less time left is not served. A lifetime below an hour has a proportional
/// margin: otherwise a token of five minutes would never be cached.
const MARGIN: Duration = Duration::from_secs(300);
const MARGIN_PER_LIFETIME: u32 = 12;
/// A token with less time left is not valid any more: its `expires_in`, in whole seconds, would be 0, which Google's
/// libraries for Go refuse.
const MIN_LEFT: Duration = Duration::from_secs(1);
/// A refresh ahead starts when this many margins are left.
const MARGINS_AHEAD: u32 = 2;
/// The backoff after a failed refresh while the cached token is still valid.
pub(super) const BACKOFF: Duration = Duration::from_secs(10);

/// The lock that makes fetches single-flight: a fetch for requests holds it. An invalidated entry gets a new lock,
/// which identifies the outcomes of fetches with old credentials.
pub(super) type FetchLock = Arc<tokio::sync::Mutex<()>>;

/// An entry of the cache.
#[derive(Debug)]
pub(super) struct Entry<T> {
    cached: Option<Cached<T>>,
    /// The last fetch, if it failed.
    failed: Option<Failed>,
    /// A refresh ahead is in flight.
    pub(super) refreshing: bool,
    last_used: Instant,
    pub(super) fetch_lock: FetchLock,
}

impl<T> Entry<T> {
    /// An entry without a token.
    pub(super) fn new(now: Moment) -> Self {
        Self { cached: None, failed: None, refreshing: false, last_used: now.instant, fetch_lock: Arc::default() }
    }

    pub(super) fn touch(&mut self, now: Moment) {
        self.last_used = now.instant;
    }
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    error: TokenError,
    /// The end of the source's Retry-After.
    retry_at: Option<Instant>,
}

impl Failed {
    fn must_wait(&self, now: Moment) -> bool {
        self.retry_at.is_some_and(|retry_at| retry_at > now.instant)
    }
}

#[derive(Debug)]
pub(super) struct Cached<T> {
    token: T,
    lifetime: Duration,
    since: Moment,
    /// The token was made with credentials that have been replaced since.
    is_stale: bool,
}

impl<T: Token> Cached<T> {
    fn time_left(&self, now: Moment) -> Duration {
        self.lifetime.saturating_sub(now.since(self.since))
    }

    fn is_valid(&self, now: Moment) -> bool {
        self.time_left(now) >= MIN_LEFT
    }

    /// Whether the token is valid, and more than this many margins are left.
    fn lasts(&self, margins: u32, now: Moment) -> bool {
        let left = self.time_left(now);
        left >= MIN_LEFT && left > margins * MARGIN.min(self.lifetime / MARGIN_PER_LIFETIME)
    }

    pub(super) fn token(&self, now: Moment) -> T {
        self.token.clone().with_left(self.time_left(now))
    }
}

impl<T: Token> Entry<T> {
    /// Whether a fetch is in flight or a request waits for one. Such an entry is not evicted.
    pub(super) fn is_in_use(&self) -> bool {
        self.refreshing || Arc::strong_count(&self.fetch_lock) > 1
    }

    /// Eviction rank: entries without a valid token or a Retry-After go first, then the least recently used.
    pub(super) fn eviction_rank(&self, now: Moment) -> (bool, Instant) {
        let is_valid = self.cached.as_ref().is_some_and(|it| it.is_valid(now));
        (is_valid || self.failed.as_ref().is_some_and(|failed| failed.must_wait(now)), self.last_used)
    }

    /// The remaining lifetime of the token, if it is valid.
    pub(super) fn valid_for(&self, now: Moment) -> Option<Duration> {
        self.cached.as_ref().filter(|it| it.is_valid(now)).map(|it| it.time_left(now))
    }

    fn is_in_backoff(&self, now: Moment) -> bool {
        let is_recent = |failed: &Failed| now.instant.saturating_duration_since(failed.at) < BACKOFF;
        self.failed.as_ref().is_some_and(|failed| is_recent(failed) || failed.must_wait(now))
    }

    /// The error of a fetch that failed after `then`, or whose Retry-After has not passed. It is returned without
    /// another fetch.
    pub(super) fn failed_since(&self, then: Moment, now: Moment) -> Option<TokenError> {
        let failed = self.failed.as_ref().filter(|failed| failed.at > then.instant || failed.must_wait(now));
        failed.map(|failed| failed.error.clone())
    }

    /// The token, if it may be served: more than the margin is left, or it is valid and its refresh failed. With
    /// `refresh_ahead` every failure counts, because the next attempt runs in the background. Without it only a failure
    /// within the backoff counts, because this request makes the next attempt.
    pub(super) fn current(&self, refresh_ahead: bool, now: Moment) -> Option<&Cached<T>> {
        let failed = if refresh_ahead { self.failed.is_some() } else { self.is_in_backoff(now) };
        self.cached.as_ref().filter(|it| it.lasts(1, now) || (failed && it.is_valid(now)))
    }

    /// Whether a refresh ahead must start now. If so, it is marked as in flight.
    pub(super) fn should_refresh(&mut self, now: Moment) -> bool {
        let is_due = self.cached.as_ref().is_some_and(|it| it.is_stale || !it.lasts(MARGINS_AHEAD, now));
        is_due && !self.is_in_backoff(now) && !std::mem::replace(&mut self.refreshing, true)
    }

    /// Marks the token as stale: its refresh is due, and it is served until then. Failures and in-flight fetches of the
    /// old credentials are dropped. Returns whether the entry has a token.
    #[cfg(feature = "live")]
    pub(super) fn mark_stale(&mut self) -> bool {
        let cached = self.cached.take().map(|cached| Cached { is_stale: true, ..cached });
        *self = Self { cached, failed: None, refreshing: false, last_used: self.last_used, fetch_lock: Arc::default() };
        self.cached.is_some()
    }

    /// Drops the token if Google has rejected it.
    #[cfg(feature = "live")]
    pub(super) fn evict_if(&mut self, is_rejected: impl Fn(&T) -> bool) {
        self.cached.take_if(|cached| is_rejected(&cached.token));
    }

    /// Stores the outcome of a fetch that started at `since` and ended now, and returns the answer for its requests.
    pub(super) fn complete(
        &mut self,
        outcome: Result<T, FetchError>,
        since: Moment,
        now: Moment,
    ) -> Result<T, TokenError> {
        match outcome {
            Ok(token) => {
                self.cached = Some(Cached { lifetime: token.lifetime(), token: token.clone(), since, is_stale: false });
                self.failed = None;
                Ok(token)
            }
            Err(FetchError { error, retry_at, .. }) => {
                let at = now.instant;
                let retry_at = retry_at.map(|retry_at| retry_at.min(at + MAX_RETRY_AFTER));
                self.failed = Some(Failed { at, error: error.clone(), retry_at });
                let valid = self.cached.as_ref().filter(|it| it.is_valid(now)).ok_or(error.clone())?;
                let left_seconds = valid.time_left(now).as_secs();
                // `LogTokens` has logged the reason.
                tracing::debug!(left_seconds, "token not refreshed, serving the cached one");
                Ok(valid.token(now))
            }
        }
    }
}
