//! Serves a token again until it is nearly used up, as GCE does: until five of its sixty minutes are left.

pub(super) mod clock;
mod entry;
mod kept;
mod places;
#[cfg(feature = "live")]
mod revise;

#[cfg(feature = "live")]
pub(crate) use revise::Fate;

use super::failure::Failure;
use super::kind::TokenRequest;
use clock::{Clock, Moment};
use entry::Entry;
use gce_metadata_routes::token::TokenError;
use kept::{Kept, busy};
use places::Places;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;

/// Adds [`CacheTokens`] to a source of tokens of one kind, which the type of its requests says.
#[derive(Debug)]
pub struct CacheTokensLayer<R> {
    hits: CacheHits,
    ahead: bool,
    clock: Clock,
    kind: PhantomData<fn(R)>,
}

impl<R> Clone for CacheTokensLayer<R> {
    fn clone(&self) -> Self {
        Self { hits: self.hits.clone(), ahead: self.ahead, clock: self.clock.clone(), kind: PhantomData }
    }
}

impl<R> Default for CacheTokensLayer<R> {
    fn default() -> Self {
        Self { hits: CacheHits::default(), ahead: false, clock: Clock::default(), kind: PhantomData }
    }
}

impl<R> CacheTokensLayer<R> {
    /// The layer, which fetches when it must.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts its hits there, together with those of others.
    pub fn count_hits(self, hits: CacheHits) -> Self {
        Self { hits, ..self }
    }

    /// Fetches the next token in the background while the one that is there still serves, so that nobody waits for it. It is
    /// for sources that take their time.
    pub fn refresh_ahead(self) -> Self {
        Self { ahead: true, ..self }
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

impl<S, R: TokenRequest> Layer<S> for CacheTokensLayer<R> {
    type Service = CacheTokens<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheTokens {
            shared: Arc::new(Shared {
                inner,
                tokens: Kept::default(),
                hits: self.hits.clone(),
                ahead: self.ahead,
                places: Places::default(),
                clock: self.clock.clone(),
            }),
        }
    }
}

/// Keeps one token for each account and set of scopes, or audience and format. However many ask for one that isn't there, it
/// is fetched once, in a task of tokio's that goes on when they leave; who asks for another one does not wait for it. A token
/// that could not be renewed serves to its end. There are places for 32 fetches of an account at a time, and room for 1024 tokens.
#[derive(Debug)]
pub struct CacheTokens<S, R: TokenRequest> {
    shared: Arc<Shared<S, R>>,
}

/// A request for a token clones its source, and whoever finds one here needs nothing of what is behind.
#[derive(Debug)]
struct Shared<S, R: TokenRequest> {
    inner: S,
    tokens: Kept<R>,
    hits: CacheHits,
    ahead: bool,
    places: Places,
    clock: Clock,
}

impl<S, R: TokenRequest> Clone for CacheTokens<S, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, R: TokenRequest> Shared<S, R> {
    /// The token that is there.
    fn hit(&self, entry: &Entry<R::Token>, now: Moment) -> Option<R::Token> {
        let token = entry.current(self.ahead, now)?.token(now);
        self.hits.0.fetch_add(1, Ordering::Relaxed);
        Some(token)
    }
}

impl<S, R> Shared<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<Failure>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    /// Fetches the next token while nobody waits for it.
    fn fetch_ahead(self: &Arc<Self>, request: R, turn: Arc<tokio::sync::Mutex<()>>) {
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            // However long the queue is: nobody waits for it, and no token is renewed twice at a time.
            let _place = cache.places.in_turn(request.account()).await;
            let _ = cache.ask(&request, &turn).await;
            cache.tokens.known(&request, |entry| entry.fetching_ahead &= !Arc::ptr_eq(&entry.turn, &turn));
        });
    }

    /// Fetches a token that was asked for then, unless somebody else did so meanwhile.
    async fn fetch(
        self: Arc<Self>,
        request: R,
        mut turn: Arc<tokio::sync::Mutex<()>>,
        asked: Moment,
    ) -> Result<R::Token, TokenError> {
        loop {
            let held = Arc::clone(&turn).lock_owned().await;
            let now = self.clock.now();
            let settled = self.tokens.wanted(&request, now, |entry| {
                if !Arc::ptr_eq(&entry.turn, &turn) {
                    // The key is another one meanwhile: whoever waits now waits for what that makes.
                    return Err(Some(Arc::clone(&entry.turn)));
                }
                // Whoever waited for an attempt that failed has been told by it: a queue of attempts would help nobody.
                let settled = self.hit(entry, now).map(Ok).or_else(|| entry.failed_since(asked, now).map(Err));
                settled.ok_or(None)
            })?;
            match settled {
                Ok(settled) => return settled,
                Err(Some(another)) => turn = another,
                Err(None) => {
                    let Some(place) = self.places.soon(request.account()).await else {
                        return self.settle(&request, &turn, Err(busy().into()), self.clock.now());
                    };
                    // In a task: clients give up sooner than a slow source does, and would never see a token of it.
                    let asking = async move {
                        let outcome = self.ask(&request, &turn).await;
                        drop((held, place));
                        outcome
                    };
                    let asked = tokio::spawn(asking.in_current_span()).await;
                    return asked.unwrap_or_else(|error| Err(TokenError::Unavailable { reason: error.to_string() }));
                }
            }
        }
    }

    /// Asks the source, and keeps what it says.
    async fn ask(&self, request: &R, turn: &Arc<tokio::sync::Mutex<()>>) -> Result<R::Token, TokenError> {
        let since = self.clock.now();
        let outcome = self.inner.clone().oneshot(request.clone()).await.map_err(Into::into);
        self.settle(request, turn, outcome, since)
    }

    /// Keeps what came of a fetch, unless the entry has another turn since: then it may come of an old key.
    fn settle(
        &self,
        request: &R,
        turn: &Arc<tokio::sync::Mutex<()>>,
        outcome: Result<R::Token, Failure>,
        since: Moment,
    ) -> Result<R::Token, TokenError> {
        let mut tokens = self.tokens.lock();
        // Not before the lock: a failure must be later than whoever looked for it in vain.
        let now = self.clock.now();
        match tokens.get_mut(request).filter(|entry| Arc::ptr_eq(&entry.turn, turn)) {
            Some(entry) => entry.fetched(outcome, since, now),
            None => outcome.map_err(TokenError::from),
        }
    }
}

type Fetching<T> = Pin<Box<dyn Future<Output = Result<T, TokenError>> + Send>>;

impl<S, R> Service<R> for CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<Failure>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = TokenError;
    type Future = Either<Ready<Result<R::Token, TokenError>>, Fetching<R::Token>>;

    /// Always ready: whether the source is matters only if it is needed.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (cache, now) = (&self.shared, self.shared.clock.now());
        let looked = cache.tokens.wanted(&request, now, |entry| match cache.hit(entry, now) {
            Some(token) => Ok((Ok(token), (cache.ahead && entry.is_due(now)).then(|| Arc::clone(&entry.turn)))),
            None => match entry.failed_since(now, now) {
                Some(error) => Ok((Err(error), None)),
                None => Err(Arc::clone(&entry.turn)),
            },
        });
        match looked.unwrap_or_else(|busy| Ok((Err(busy), None))) {
            Ok((settled, due)) => {
                if let Some(turn) = due {
                    cache.fetch_ahead(request, turn);
                }
                Either::Left(ready(settled))
            }
            Err(turn) => Either::Right(Box::pin(Arc::clone(cache).fetch(request, turn, now))),
        }
    }
}

#[cfg(test)]
mod tests;
