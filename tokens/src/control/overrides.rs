//! The overrides of tokens that are set at run time, by account, and the faults of fetches. The layers
//! [`OverrideTokens`](crate::override_tokens) and [`InjectFetchFaults`](crate::inject_fetch_faults) and the offline issuer read them.

use super::{Behaviour, Given, GivenStatus, Then};
use crate::inject_fetch_faults::FetchFaults;
use crate::token_request::{Token, TokenRequest, time_until_exp};
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest};
use gce_metadata_support::clock::{Clock, Moment};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The overrides of all accounts. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Overrides(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Whether any account has overrides. Requests read it instead of taking the lock. It is written under the lock.
    any: AtomicBool,
    accounts: Mutex<HashMap<String, AccountOverrides>>,
    fetch_faults: OnceLock<Arc<dyn FetchFaults>>,
    clock: Clock,
}

/// The overrides of one account.
#[derive(Default)]
pub(crate) struct AccountOverrides {
    access: Option<GivenToken<AccessToken>>,
    id: Option<GivenToken<IdToken>>,
    behaviour: Option<Behaviour>,
}

/// A token that was given at run time.
pub(crate) struct GivenToken<T> {
    token: T,
    since: Moment,
    /// `None` if the token never ends.
    lifetime: Option<Duration>,
    then: Then,
}

/// The override that applies to a request.
pub(crate) enum Override<T> {
    /// The answer is this token.
    Given(T),
    /// The given token has ended, and [`Then::Unavailable`] applies.
    Ended,
    /// The source answers, with this behaviour.
    Behaviour(Behaviour),
}

/// A kind of token that can be given at run time.
pub(crate) trait Overridable: TokenRequest {
    /// Returns the account's given token of this kind.
    fn given(overrides: &mut AccountOverrides) -> &mut Option<GivenToken<Self::Token>>;
}

impl Overridable for AccessTokenRequest {
    fn given(overrides: &mut AccountOverrides) -> &mut Option<GivenToken<AccessToken>> {
        &mut overrides.access
    }
}

impl Overridable for IdTokenRequest {
    fn given(overrides: &mut AccountOverrides) -> &mut Option<GivenToken<IdToken>> {
        &mut overrides.id
    }
}

impl<T: Token> GivenToken<T> {
    /// The remaining lifetime. It counts down by whole seconds: the first answer has the `expires_in` that was given.
    fn left(&self, now: Moment) -> Option<Duration> {
        let elapsed = Duration::from_secs(now.since(self.since).as_secs());
        self.lifetime.map(|lifetime| lifetime.saturating_sub(elapsed))
    }

    fn has_ended(&self, now: Moment) -> bool {
        // The `expires_in` of its answer, in whole seconds, would be 0.
        self.left(now).is_some_and(|left| left < Duration::from_secs(1))
    }

    fn token(&self, now: Moment) -> T {
        match self.left(now) {
            Some(left) => self.token.clone().with_left(left),
            None => self.token.clone(),
        }
    }

    fn status(&self, now: Moment) -> GivenStatus {
        let expires_in = if self.has_ended(now) { Some(Duration::ZERO) } else { self.left(now) };
        GivenStatus { expires_in, then: self.then }
    }
}

impl AccountOverrides {
    fn is_empty(&self) -> bool {
        self.access.is_none() && self.id.is_none() && self.behaviour.is_none()
    }

    /// Drops given tokens that have ended and whose source answers again.
    fn drop_ended(&mut self, now: Moment) {
        self.access.take_if(|given| given.then == Then::Source && given.has_ended(now));
        self.id.take_if(|given| given.then == Then::Source && given.has_ended(now));
    }
}

impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides").finish_non_exhaustive()
    }
}

impl Overrides {
    #[cfg(test)]
    pub(crate) fn with_clock(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, ..Shared::default() }))
    }

    /// Sets the faults of fetches. Only the first call has an effect.
    pub(crate) fn inject_faults(&self, faults: Arc<dyn FetchFaults>) {
        let _ = self.0.fetch_faults.set(faults);
    }

    /// The faults of fetches.
    pub(crate) fn fetch_faults(&self) -> Option<&dyn FetchFaults> {
        self.0.fetch_faults.get().map(|faults| &**faults)
    }

    /// Whether no account has overrides. A single relaxed load, because every request for a token calls it: a client that
    /// learned of an override, or the thread that set it, is ordered after the store.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        !self.0.any.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, AccountOverrides>> {
        self.0.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops accounts without overrides. Every change ends with it.
    fn settle(&self, mut accounts: MutexGuard<'_, HashMap<String, AccountOverrides>>) {
        accounts.retain(|_, overrides| !overrides.is_empty());
        self.0.any.store(!accounts.is_empty(), Ordering::Relaxed);
    }

    fn update<T>(&self, account: &str, update: impl FnOnce(&mut AccountOverrides, Moment) -> T) -> T {
        let mut accounts = self.lock();
        let updated = update(accounts.entry(account.to_owned()).or_default(), self.0.clock.now());
        self.settle(accounts);
        updated
    }

    /// Replaces the account's given tokens. A given token of the other kind, if `given` has none, is dropped.
    pub(super) fn give(&self, account: &str, given: Given) {
        let Given { access_token, id_token, then } = given;
        self.update(account, |overrides, since| {
            overrides.access = access_token.map(|token| {
                let lifetime = Some(token.expires_in);
                GivenToken { token, since, lifetime, then }
            });
            overrides.id = id_token.map(|token| {
                let lifetime = time_until_exp(token.token.expose());
                GivenToken { token, since, lifetime, then }
            });
        });
    }

    /// Sets the account's behaviour; the default behaviour removes it.
    pub(super) fn behave(&self, account: &str, behaviour: Behaviour) {
        let behaviour = Some(behaviour).filter(|behaviour| *behaviour != Behaviour::default());
        self.update(account, |overrides, _| overrides.behaviour = behaviour);
    }

    /// Drops the account's overrides. Returns whether it had a behaviour.
    pub(super) fn clear(&self, account: &str) -> bool {
        self.update(account, |overrides, _| std::mem::take(overrides).behaviour.is_some())
    }

    /// Returns the accounts with overrides.
    pub(super) fn accounts(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Returns the account's behaviour.
    pub(crate) fn behaviour(&self, account: &str) -> Option<Behaviour> {
        if self.is_empty() { None } else { self.lock().get(account)?.behaviour }
    }

    /// Returns the state of the account's given tokens: access token, identity token.
    pub(super) fn given(&self, account: &str) -> [Option<GivenStatus>; 2] {
        if self.is_empty() {
            return [None, None];
        }
        self.update(account, |overrides, now| {
            overrides.drop_ended(now);
            let access = overrides.access.as_ref().map(|given| given.status(now));
            [access, overrides.id.as_ref().map(|given| given.status(now))]
        })
    }

    /// Returns the override that applies to this request.
    pub(crate) fn of<R: Overridable>(&self, request: &R) -> Option<Override<R::Token>> {
        let (mut accounts, now) = (self.lock(), self.0.clock.now());
        let overrides = accounts.get_mut(&request.account().email)?;
        let is_over = match R::given(overrides) {
            Some(given) if !given.has_ended(now) => return Some(Override::Given(given.token(now))),
            Some(given) if given.then == Then::Unavailable => return Some(Override::Ended),
            Some(_) => true,
            None => false,
        };
        let behaviour = overrides.behaviour;
        if is_over {
            overrides.drop_ended(now);
            self.settle(accounts);
        }
        behaviour.map(Override::Behaviour)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::ServiceAccount;
    use gce_metadata_support::clock::movable;
    use tokio::time::advance;

    fn request() -> AccessTokenRequest {
        AccessTokenRequest::new(ServiceAccount::new("a@example.com", vec![], vec![]).into(), [])
    }

    fn given(seconds: u64, then: Then) -> Given {
        let token = AccessToken::new("given", Duration::from_secs(seconds));
        Given { access_token: Some(token), id_token: None, then }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_looked_up_after_the_last_given_token_has_ended() {
        let overrides = Overrides::default();
        overrides.give("a@example.com", given(60, Then::Source));
        assert!(!overrides.is_empty());
        advance(Duration::from_secs(60)).await;
        assert!(overrides.of(&request()).is_none());
        assert!(overrides.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_given_token_expires_during_system_sleep() {
        let (clock, move_by) = movable();
        let overrides = Overrides::with_clock(clock);
        overrides.give("a@example.com", given(60, Then::Unavailable));
        move_by(59);
        let Some(Override::Given(token)) = overrides.of(&request()) else { panic!("the token has ended") };
        assert_eq!(token.expires_in.as_secs(), 1);
        move_by(1);
        assert!(matches!(overrides.of(&request()), Some(Override::Ended)));
    }

    #[test]
    fn reading_the_status_of_an_account_without_overrides_adds_none() {
        let overrides = Overrides::default();
        overrides.behave("a@example.com", Behaviour { skew: Some(1), ..Behaviour::default() });
        assert_eq!(overrides.given("b@example.com"), [None, None]);
        assert_eq!(overrides.accounts(), ["a@example.com"]);
        overrides.behave("a@example.com", Behaviour::default());
        assert!(overrides.is_empty());
    }
}
