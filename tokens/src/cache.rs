//! The token cache: serves a token until five of its sixty minutes are left, as GCE does.
//!
//! Fetches are single-flight: concurrent requests for the same token share one fetch. For slow sources a token is
//! refreshed in the background before it expires (refresh ahead). Entries and in-flight fetches are bounded.

mod account_tokens;
mod entry;
mod fetch_slots;
#[cfg(feature = "live")]
mod invalidation;
mod store;

pub(crate) use account_tokens::AccountTokens;
#[cfg(feature = "live")]
pub(crate) use invalidation::Invalidation;

use super::fetch_error::FetchError;
use super::token_request::TokenRequest;
use entry::{Entry, FetchLock};
use fetch_slots::FetchSlots;
use gce_metadata_routes::token::TokenError;
use gce_metadata_support::clock::{Clock, Moment};
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use store::{TokenStore, overloaded};
use tokio_util::either::Either;
use tower::{Layer, Service, ServiceExt};
use tracing::Instrument;

/// A layer that adds [`CacheTokens`] to a source of one kind of token, which the request type `R` selects.
#[derive(Debug)]
pub struct CacheTokensLayer<R> {
    hits: CacheHits,
    refresh_ahead: bool,
    clock: Clock,
    kind: PhantomData<fn(R)>,
}

impl<R> Clone for CacheTokensLayer<R> {
    fn clone(&self) -> Self {
        Self {
            hits: self.hits.clone(),
            refresh_ahead: self.refresh_ahead,
            clock: self.clock.clone(),
            kind: PhantomData,
        }
    }
}

impl<R> Default for CacheTokensLayer<R> {
    fn default() -> Self {
        Self { hits: CacheHits::default(), refresh_ahead: false, clock: Clock::default(), kind: PhantomData }
    }
}

impl<R> CacheTokensLayer<R> {
    /// A cache without refresh ahead: a token is fetched when a request needs it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts hits with this counter, which several caches may share.
    #[must_use]
    pub fn count_hits(self, hits: CacheHits) -> Self {
        Self { hits, ..self }
    }

    /// Refreshes tokens in the background while the current one is served, so that no request waits for a refresh. For
    /// slow sources.
    #[must_use]
    pub fn refresh_ahead(self) -> Self {
        Self { refresh_ahead: true, ..self }
    }
}

/// A counter of cache hits. Clones share one count.
#[derive(Debug, Clone, Default)]
pub struct CacheHits(Arc<AtomicU64>);

impl CacheHits {
    /// Returns the number of hits.
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
                tokens: TokenStore::default(),
                hits: self.hits.clone(),
                refresh_ahead: self.refresh_ahead,
                slots: FetchSlots::default(),
                clock: self.clock.clone(),
            }),
        }
    }
}

/// A service that caches one token for each account and set of scopes, or audience and format.
///
/// Fetches are single-flight per token. Each runs in a task, which continues when the client disconnects. If a refresh
/// fails, the cached token is served until it expires. At most 1024 tokens are cached, and at most 32 fetches are in
/// flight per account.
///
/// ```
/// use gce_metadata_routes::token::{AccessTokenRequest, AccessTokenSource};
/// use gce_metadata_tokens::CacheTokens;
/// use tower::ServiceBuilder;
///
/// # fn cached(source: AccessTokenSource) {
/// let cached = ServiceBuilder::new()
///     .layer(CacheTokens::<AccessTokenSource, AccessTokenRequest>::layer().refresh_ahead())
///     .service(source);
/// # }
/// ```
#[derive(Debug)]
pub struct CacheTokens<S, R: TokenRequest> {
    shared: Arc<Shared<S, R>>,
}

/// The state of the service, behind one `Arc`: every request clones the service, and a cache hit does not need the
/// inner service.
#[derive(Debug)]
struct Shared<S, R: TokenRequest> {
    inner: S,
    tokens: TokenStore<R>,
    hits: CacheHits,
    refresh_ahead: bool,
    slots: FetchSlots,
    clock: Clock,
}

impl<S, R: TokenRequest> CacheTokens<S, R> {
    /// Returns the layer that adds this cache, without refresh ahead.
    pub fn layer() -> CacheTokensLayer<R> {
        CacheTokensLayer::new()
    }

    /// Caches the tokens of `inner`, without refresh ahead.
    pub fn new(inner: S) -> Self {
        Self::layer().layer(inner)
    }

    /// Returns the inner service. Clones of the cache share it, so there is no mutable access.
    pub fn get_ref(&self) -> &S {
        &self.shared.inner
    }
}

impl<S, R: TokenRequest> Clone for CacheTokens<S, R> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, R: TokenRequest> Shared<S, R> {
    /// Returns the cached token if it may still be served, and counts the hit.
    fn hit(&self, entry: &Entry<R::Token>, now: Moment) -> Option<R::Token> {
        let token = entry.current(self.refresh_ahead, now)?.token(now);
        self.hits.0.fetch_add(1, Ordering::Relaxed);
        Some(token)
    }
}

impl<S, R> Shared<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    /// Refreshes a token in the background.
    fn start_refresh(self: &Arc<Self>, request: R, fetch_lock: FetchLock) {
        let cache = Arc::clone(self);
        tokio::spawn(async move {
            // Waits for a slot without a time-out: no request waits for this, and each token has one refresh at a time.
            let _slot = cache.slots.acquire(request.account()).await;
            let _ = cache.fetch(&request, &fetch_lock).await;
            cache.tokens.update(&request, |entry| entry.refreshing &= !Arc::ptr_eq(&entry.fetch_lock, &fetch_lock));
        });
    }

    /// Fetches a token for a request that arrived at `requested_at`, or waits for the in-flight fetch of another
    /// request.
    async fn fetch_once(
        self: Arc<Self>,
        request: R,
        mut fetch_lock: FetchLock,
        requested_at: Moment,
    ) -> Result<R::Token, TokenError> {
        loop {
            let locked = Arc::clone(&fetch_lock).lock_owned().await;
            let now = self.clock.now();
            let settled = self.tokens.touch(&request, now, |entry| {
                if !Arc::ptr_eq(&entry.fetch_lock, &fetch_lock) {
                    // The credentials were replaced while we waited; wait for the fetch that uses the new ones.
                    return Err(Some(Arc::clone(&entry.fetch_lock)));
                }
                // A failed fetch fails every waiting request: a fetch for each of them would queue up attempts.
                let settled = self.hit(entry, now).map(Ok).or_else(|| entry.failed_since(requested_at, now).map(Err));
                settled.ok_or(None)
            })?;
            match settled {
                Ok(settled) => return settled,
                Err(Some(replaced)) => fetch_lock = replaced,
                Err(None) => {
                    let Some(slot) = self.slots.acquire_timeout(request.account()).await else {
                        return self.complete(&request, &fetch_lock, Err(overloaded().into()), self.clock.now());
                    };
                    // In a task, which outlives its client: a slow source may take longer than the time-out of every
                    // client, and its token would never be cached.
                    let fetch = async move {
                        let outcome = self.fetch(&request, &fetch_lock).await;
                        drop((locked, slot));
                        outcome
                    };
                    let fetched = tokio::spawn(fetch.in_current_span()).await;
                    return fetched.unwrap_or_else(|error| Err(TokenError::Unavailable { reason: error.to_string() }));
                }
            }
        }
    }

    /// Calls the source, and caches the outcome.
    async fn fetch(&self, request: &R, fetch_lock: &FetchLock) -> Result<R::Token, TokenError> {
        let since = self.clock.now();
        let outcome = self.inner.clone().oneshot(request.clone()).await.map_err(Into::into);
        self.complete(request, fetch_lock, outcome, since)
    }

    /// Caches the outcome of a fetch, unless the entry was invalidated in the meantime: the outcome may belong to old
    /// credentials.
    fn complete(
        &self,
        request: &R,
        fetch_lock: &FetchLock,
        outcome: Result<R::Token, FetchError>,
        since: Moment,
    ) -> Result<R::Token, TokenError> {
        let mut tokens = self.tokens.lock();
        // Read under the lock: a failure must be later than every request that saw no failure.
        let now = self.clock.now();
        match tokens.get_mut(request).filter(|entry| Arc::ptr_eq(&entry.fetch_lock, fetch_lock)) {
            Some(entry) => entry.complete(outcome, since, now),
            None => outcome.map_err(TokenError::from),
        }
    }
}

type InFlight<T> = Pin<Box<dyn Future<Output = Result<T, TokenError>> + Send>>;

impl<S, R> Service<R> for CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = TokenError;
    type Future = Either<Ready<Result<R::Token, TokenError>>, InFlight<R::Token>>;

    /// Always ready: a cache hit does not need the inner service.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (cache, now) = (&self.shared, self.shared.clock.now());
        let looked_up = cache.tokens.touch(&request, now, |entry| match cache.hit(entry, now) {
            Some(token) => {
                let refresh = cache.refresh_ahead && entry.should_refresh(now);
                Ok((Ok(token), refresh.then(|| Arc::clone(&entry.fetch_lock))))
            }
            None => match entry.failed_since(now, now) {
                Some(error) => Ok((Err(error), None)),
                None => Err(Arc::clone(&entry.fetch_lock)),
            },
        });
        match looked_up.unwrap_or_else(|overloaded| Ok((Err(overloaded), None))) {
            Ok((settled, refresh)) => {
                if let Some(fetch_lock) = refresh {
                    cache.start_refresh(request, fetch_lock);
                }
                Either::Left(ready(settled))
            }
            Err(fetch_lock) => Either::Right(Box::pin(Arc::clone(cache).fetch_once(request, fetch_lock, now))),
        }
    }
}

#[cfg(test)]
mod tests;
