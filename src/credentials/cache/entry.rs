//! One token of a cache: whether it still serves, whether the next one is due, and what came of fetching it.

use super::clock::Moment;
use crate::credentials::failure::{Failure, LONGEST_PAUSE};
use crate::credentials::kind::Token;
use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// GCE's own margin. A token that lives for less than an hour has a margin in proportion, or it would never be cached.
const MARGIN: Duration = Duration::from_secs(300);
const MARGIN_PER_LIFETIME: u32 = 12;
/// A refresh ahead begins when so many margins are left.
const MARGINS_AHEAD: u32 = 2;
/// For how long a failed refresh is not tried again while the token that is there still serves.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Entry<T> {
    cached: Option<Cached<T>>,
    /// The last attempt to get another one, if it failed.
    failed: Option<Failed>,
    /// It is being fetched while the one that is there still serves.
    pub(super) fetching_ahead: bool,
    /// When somebody wanted it last.
    wanted: Instant,
    /// Held by whoever fetches it because it is needed now; the others who need it wait for their turn.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Entry<T> {
    /// Nothing yet, for somebody who wants a token now.
    pub(super) fn new(now: Moment) -> Self {
        Self { cached: None, failed: None, fetching_ahead: false, wanted: now.instant, turn: Arc::default() }
    }

    pub(super) fn wanted(&mut self, now: Moment) {
        self.wanted = now.instant;
    }
}

#[derive(Debug)]
struct Failed {
    at: Instant,
    error: TokenError,
    /// Until when the source asked not to be asked again.
    until: Option<Instant>,
}

impl Failed {
    fn is_asked_to_wait(&self, now: Moment) -> bool {
        self.until.is_some_and(|until| until > now.instant)
    }
}

#[derive(Debug)]
pub(super) struct Cached<T> {
    token: T,
    lifetime: Duration,
    since: Moment,
    /// Another key would make it now.
    is_outdated: bool,
}

impl<T: Token> Cached<T> {
    fn left(&self, now: Moment) -> Duration {
        self.lifetime.saturating_sub(now.since(self.since))
    }

    fn is_valid(&self, now: Moment) -> bool {
        !self.left(now).is_zero()
    }

    /// Whether more than so many margins are left.
    fn lasts(&self, margins: u32, now: Moment) -> bool {
        self.left(now) > margins * MARGIN.min(self.lifetime / MARGIN_PER_LIFETIME)
    }

    pub(super) fn token(&self, now: Moment) -> T {
        self.token.clone().with_left(self.left(now))
    }
}

impl<T: Token> Entry<T> {
    /// Whether it is being fetched, or somebody waits for that.
    pub(super) fn is_in_use(&self) -> bool {
        self.fetching_ahead || Arc::strong_count(&self.turn) > 1
    }

    /// What it is worth to whoever needs room for another: most if there is a token, or the source asked to be left alone, and
    /// the more the later somebody wanted it.
    pub(super) fn worth(&self, now: Moment) -> (bool, Instant) {
        let is_valid = self.cached.as_ref().is_some_and(|it| it.is_valid(now));
        (is_valid || self.failed.as_ref().is_some_and(|failed| failed.is_asked_to_wait(now)), self.wanted)
    }

    fn failed_just_now(&self, now: Moment) -> bool {
        let is_recent = |failed: &Failed| now.instant.saturating_duration_since(failed.at) < RETRY_AFTER;
        self.failed.as_ref().is_some_and(|failed| is_recent(failed) || failed.is_asked_to_wait(now))
    }

    /// What is to be answered for want of a token, instead of asking the source: it has failed since then, or it asked to be
    /// left alone.
    pub(super) fn failed_since(&self, then: Moment, now: Moment) -> Option<TokenError> {
        let failed = self.failed.as_ref().filter(|failed| failed.at > then.instant || failed.is_asked_to_wait(now));
        failed.map(|failed| failed.error.clone())
    }

    /// The token, if it need not be renewed yet or has just failed to be. Where it is renewed `ahead`, behind everybody's
    /// back, whenever it last failed to be is soon enough: nobody need wait for the next attempt while it is valid.
    pub(super) fn current(&self, ahead: bool, now: Moment) -> Option<&Cached<T>> {
        let failed = if ahead { self.failed.is_some() } else { self.failed_just_now(now) };
        self.cached.as_ref().filter(|it| it.lasts(1, now) || (failed && it.is_valid(now)))
    }

    /// Whether it is time to fetch the next one. Says so once.
    pub(super) fn is_due(&mut self, now: Moment) -> bool {
        let due = self.cached.as_ref().is_some_and(|it| it.is_outdated || !it.lasts(MARGINS_AHEAD, now));
        due && !self.failed_just_now(now) && !std::mem::replace(&mut self.fetching_ahead, true)
    }

    /// Has the token, if there is one, serve on until the next is there, which is due now. Whatever is on its way, and whatever
    /// failed, is of the past.
    #[cfg(feature = "live")]
    pub(super) fn outdate(&mut self) -> bool {
        let cached = self.cached.take().map(|cached| Cached { is_outdated: true, ..cached });
        *self = Self { cached, failed: None, fetching_ahead: false, wanted: self.wanted, turn: Arc::default() };
        self.cached.is_some()
    }

    #[cfg(feature = "live")]
    pub(super) fn forget(&mut self, is_it: impl Fn(&T) -> bool) {
        self.cached.take_if(|cached| is_it(&cached.token));
    }

    /// What is answered after a fetch that began then and is over now.
    pub(super) fn fetched(&mut self, outcome: Result<T, Failure>, since: Moment, now: Moment) -> Result<T, TokenError> {
        match outcome {
            Ok(token) => {
                self.cached =
                    Some(Cached { lifetime: token.lifetime(), token: token.clone(), since, is_outdated: false });
                self.failed = None;
                Ok(token)
            }
            Err(Failure { error, not_before, .. }) => {
                let at = now.instant;
                let until = not_before.map(|until| until.min(at + LONGEST_PAUSE));
                self.failed = Some(Failed { at, error: error.clone(), until });
                let valid = self.cached.as_ref().filter(|it| it.is_valid(now)).ok_or(error.clone())?;
                let seconds_left = valid.left(now).as_secs();
                // Why is told by whoever asked for it.
                tracing::debug!(seconds_left, "a token is not renewed, the old one serves");
                Ok(valid.token(now))
            }
        }
    }
}
