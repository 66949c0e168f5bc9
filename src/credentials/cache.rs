//! Serves a token again until it is nearly used up, as GCE does: until five of its sixty minutes are left.

use super::kind::{Token, TokenRequest};
use gce_metadata_routes::token::TokenError;
use std::collections::HashMap;
use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

/// GCE's own margin. A token that lives for less than an hour has a margin in proportion, or it would never be cached.
const MARGIN: Duration = Duration::from_secs(300);
const MARGIN_PER_LIFETIME: u32 = 12;
/// A refresh ahead begins when so many margins are left.
const MARGINS_AHEAD: u32 = 2;
/// For how long a failed refresh is not tried again while the token that is there still serves.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// Scopes and audiences come from requests, so their combinations have no end; the memory for them has.
const MOST_TOKENS: usize = 1024;

/// Adds [`CacheTokens`] to a source of tokens of either kind.
#[derive(Debug, Clone, Default)]
pub struct CacheTokensLayer {
    hits: CacheHits,
    ahead: bool,
}

impl CacheTokensLayer {
    /// The layer, which fetches when it must.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fetches the next token in the background while the one that is there still serves, so that nobody waits for it. It is
    /// for sources that take their time.
    pub fn refresh_ahead(self) -> Self {
        Self { ahead: true, ..self }
    }

    /// How often its caches had what they were asked for.
    pub fn hits(&self) -> CacheHits {
        self.hits.clone()
    }
}

/// How often a cache had what it was asked for. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct CacheHits(Arc<AtomicU64>);

impl CacheHits {
    /// The number.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl CacheTokensLayer {
    /// The source with a cache before it.
    pub fn layer<S, R: TokenRequest>(&self, inner: S) -> CacheTokens<S, R> {
        CacheTokens { inner, tokens: Arc::default(), hits: self.hits.clone(), ahead: self.ahead }
    }
}

/// Keeps one token for each account and set of scopes, or audience and format. However many ask for one that isn't there, it
/// is fetched once; who asks for another one does not wait for it. A token that could not be renewed serves to its end.
#[derive(Debug)]
pub struct CacheTokens<S, R: TokenRequest> {
    inner: S,
    /// Locked for as long as a look takes, and never while anything is awaited.
    tokens: Arc<Mutex<HashMap<R, Entry<R::Token>>>>,
    hits: CacheHits,
    ahead: bool,
}

impl<S: Clone, R: TokenRequest> Clone for CacheTokens<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), tokens: Arc::clone(&self.tokens), hits: self.hits.clone(), ahead: self.ahead }
    }
}

#[derive(Debug)]
struct Entry<T> {
    cached: Option<Cached<T>>,
    /// The last attempt to get another one, if it failed.
    failed: Option<(Instant, TokenError)>,
    /// It is being fetched while the one that is there still serves.
    fetching_ahead: bool,
    /// Held by whoever fetches it because it is needed now; the others who need it wait for their turn.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { cached: None, failed: None, fetching_ahead: false, turn: Arc::default() }
    }
}

#[derive(Debug)]
struct Cached<T> {
    token: T,
    lifetime: Duration,
    since: Instant,
}

impl<T: Token> Cached<T> {
    fn left(&self) -> Duration {
        self.lifetime.saturating_sub(self.since.elapsed())
    }

    /// Whether more than so many margins are left.
    fn lasts(&self, margins: u32) -> bool {
        self.left() > margins * MARGIN.min(self.lifetime / MARGIN_PER_LIFETIME)
    }

    fn token(&self) -> T {
        self.token.clone().with_left(self.left())
    }
}

impl<T: Token> Entry<T> {
    fn failed_just_now(&self) -> bool {
        self.failed.as_ref().is_some_and(|(at, _)| at.elapsed() < RETRY_AFTER)
    }

    /// The token, if it need not be renewed yet or has just failed to be.
    fn current(&self) -> Option<&Cached<T>> {
        self.cached.as_ref().filter(|it| it.lasts(1) || (self.failed_just_now() && !it.left().is_zero()))
    }

    /// Whether it is time to fetch the next one. Says so once.
    fn is_due(&mut self) -> bool {
        let due = self.cached.as_ref().is_some_and(|it| !it.lasts(MARGINS_AHEAD));
        due && !self.failed_just_now() && !std::mem::replace(&mut self.fetching_ahead, true)
    }

    fn fetched(&mut self, outcome: Result<T, TokenError>, since: Instant) -> Result<T, TokenError> {
        match outcome {
            Ok(token) => {
                self.cached = Some(Cached { lifetime: token.lifetime(), token: token.clone(), since });
                self.failed = None;
                Ok(token)
            }
            Err(error) => {
                self.failed = Some((Instant::now(), error.clone()));
                let valid = self.cached.as_ref().filter(|it| !it.left().is_zero()).ok_or(error.clone())?;
                let seconds_left = valid.left().as_secs();
                tracing::warn!(seconds_left, "a token is not renewed, the old one serves: {error}");
                Ok(valid.token())
            }
        }
    }
}

impl<S, R: TokenRequest> CacheTokens<S, R> {
    /// Looks at one entry.
    fn with<T>(&self, request: &R, look: impl FnOnce(&mut Entry<R::Token>) -> T) -> T {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = tokens.get_mut(request) {
            return look(entry);
        }
        if tokens.len() >= MOST_TOKENS {
            let in_use = |entry: &Entry<R::Token>| entry.fetching_ahead || Arc::strong_count(&entry.turn) > 1;
            tokens.retain(|_, entry| in_use(entry) || entry.current().is_some());
            if tokens.len() >= MOST_TOKENS {
                tokens.retain(|_, entry| in_use(entry));
            }
        }
        look(tokens.entry(request.clone()).or_default())
    }

    /// The token that is there.
    fn hit(&self, entry: &Entry<R::Token>) -> Option<R::Token> {
        let token = entry.current()?.token();
        self.hits.0.fetch_add(1, Ordering::Relaxed);
        Some(token)
    }
}

impl<S, R> CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error = TokenError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    /// Fetches the next token while nobody waits for it.
    fn fetch_ahead(&self, request: R) {
        let cache = self.clone();
        tokio::spawn(async move {
            let since = Instant::now();
            let outcome = cache.inner.clone().oneshot(request.clone()).await;
            cache.with(&request, |entry| {
                entry.fetching_ahead = false;
                let _ = entry.fetched(outcome, since);
            });
        });
    }

    /// Fetches a token that is needed now, unless somebody else did so meanwhile.
    async fn fetch(self, request: R, turn: Arc<tokio::sync::Mutex<()>>) -> Result<R::Token, TokenError> {
        let asked = Instant::now();
        let _turn = turn.lock().await;
        let settled = self.with(&request, |entry| match &entry.failed {
            // Whoever waited for an attempt that failed has been told by it: a queue of attempts would help nobody.
            Some((at, error)) if *at > asked && entry.current().is_none() => Some(Err(error.clone())),
            _ => self.hit(entry).map(Ok),
        });
        if let Some(settled) = settled {
            return settled;
        }
        let since = Instant::now();
        let outcome = self.inner.clone().oneshot(request.clone()).await;
        self.with(&request, |entry| entry.fetched(outcome, since))
    }
}

impl<S, R> Service<R> for CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error = TokenError> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = TokenError;
    type Future = Pin<Box<dyn Future<Output = Result<R::Token, TokenError>> + Send>>;

    /// Always ready: whether the source is matters only if it is needed.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let looked = self.with(&request, |entry| match self.hit(entry) {
            Some(token) => Ok((token, self.ahead && entry.is_due())),
            None => Err(Arc::clone(&entry.turn)),
        });
        match looked {
            Ok((token, due)) => {
                if due {
                    self.fetch_ahead(request);
                }
                Box::pin(ready(Ok(token)))
            }
            Err(turn) => Box::pin(self.clone().fetch(request, turn)),
        }
    }
}

/// Forgets what a cache has, for when the key is another one.
#[derive(Clone)]
pub(crate) struct Forget(Arc<dyn Fn() + Send + Sync>);

impl Forget {
    pub(crate) fn now(&self) {
        (self.0)();
    }
}

#[cfg(feature = "live")]
impl<S, R: TokenRequest> CacheTokens<S, R> {
    pub(crate) fn forget(&self) -> Forget {
        let tokens = Arc::clone(&self.tokens);
        Forget(Arc::new(move || tokens.lock().unwrap_or_else(PoisonError::into_inner).clear()))
    }
}

#[cfg(test)]
mod tests;
