//! Serves an access token again until it is nearly used up, as GCE does: until five of its sixty minutes are left.

use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, TokenError};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt};

/// GCE's own margin. A token that lives for less than an hour has a margin in proportion, or it would never be cached.
const MARGIN: Duration = Duration::from_secs(300);
const MARGIN_PER_LIFETIME: u32 = 12;
/// Scopes come from requests, so their combinations have no end; the memory for them has.
const MOST_TOKENS: usize = 1024;

/// Adds [`CacheTokens`] to a source of access tokens.
#[derive(Debug, Clone, Default)]
pub struct CacheTokensLayer {
    hits: CacheHits,
}

impl CacheTokensLayer {
    /// The layer; it has no settings.
    pub fn new() -> Self {
        Self::default()
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

impl<S> Layer<S> for CacheTokensLayer {
    type Service = CacheTokens<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CacheTokens { inner, tokens: Arc::default(), hits: self.hits.clone() }
    }
}

/// Keeps one token for each account and set of scopes. However many ask for one that isn't there, it is fetched once; who
/// asks for another one does not wait for it.
#[derive(Debug, Clone)]
pub struct CacheTokens<S> {
    inner: S,
    tokens: Arc<Mutex<HashMap<AccessTokenRequest, Arc<Slot>>>>,
    hits: CacheHits,
}

/// Locked while its token is fetched: those who want the same one wait here.
type Slot = tokio::sync::Mutex<Option<Cached>>;

#[derive(Debug)]
struct Cached {
    token: AccessToken,
    since: Instant,
}

impl Cached {
    fn current(&self) -> Option<AccessToken> {
        let lifetime = self.token.expires_in;
        let left = lifetime.saturating_sub(self.since.elapsed());
        let margin = MARGIN.min(lifetime / MARGIN_PER_LIFETIME);
        (left > margin).then(|| AccessToken { token: self.token.token.clone(), expires_in: left })
    }
}

impl<S> CacheTokens<S> {
    fn slot(&self, request: &AccessTokenRequest) -> Arc<Slot> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = tokens.get(request) {
            return Arc::clone(slot);
        }
        if tokens.len() >= MOST_TOKENS {
            let in_use = |slot: &Arc<Slot>| Arc::strong_count(slot) > 1;
            let is_current =
                |slot: &Slot| slot.try_lock().is_ok_and(|it| it.as_ref().and_then(Cached::current).is_some());
            tokens.retain(|_, slot| in_use(slot) || is_current(slot));
            if tokens.len() >= MOST_TOKENS {
                tokens.retain(|_, slot| in_use(slot));
            }
        }
        Arc::clone(tokens.entry(request.clone()).or_default())
    }
}

impl<S> Service<AccessTokenRequest> for CacheTokens<S>
where
    S: Service<AccessTokenRequest, Response = AccessToken, Error = TokenError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = AccessToken;
    type Error = TokenError;
    type Future = Pin<Box<dyn Future<Output = Result<AccessToken, TokenError>> + Send>>;

    /// Always ready: whether the source is matters only if it is needed.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: AccessTokenRequest) -> Self::Future {
        let slot = self.slot(&request);
        let (source, hits) = (self.inner.clone(), self.hits.clone());
        Box::pin(async move {
            let mut cached = slot.lock().await;
            if let Some(token) = cached.as_ref().and_then(Cached::current) {
                hits.0.fetch_add(1, Ordering::Relaxed);
                return Ok(token);
            }
            let since = Instant::now();
            let token = source.oneshot(request).await?;
            *cached = Some(Cached { token: token.clone(), since });
            Ok(token)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::ServiceAccount;
    use tokio::time::{advance, sleep};
    use tower::service_fn;

    fn request(email: &str, scopes: &[&str]) -> AccessTokenRequest {
        let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let account = ServiceAccount { email: email.into(), scopes: scopes.clone(), aliases: Vec::new() };
        AccessTokenRequest { account, scopes }
    }

    type Source = tower::util::BoxCloneSyncService<AccessTokenRequest, AccessToken, TokenError>;

    /// A source that takes a second for each token, numbers them, and counts what it was asked.
    fn cached(lifetime: u64) -> (CacheTokens<Source>, Arc<AtomicU64>) {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let source = service_fn(move |_: AccessTokenRequest| {
            let number = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                sleep(Duration::from_secs(1)).await;
                Ok(AccessToken { token: format!("token {number}").into(), expires_in: Duration::from_secs(lifetime) })
            }
        });
        (CacheTokensLayer::new().layer(Source::new(source)), count)
    }

    async fn ask(cache: &CacheTokens<Source>, request: AccessTokenRequest) -> (String, u64) {
        let token = cache.clone().oneshot(request).await.unwrap();
        (token.token.expose().to_owned(), token.expires_in.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_counts_down_to_five_minutes_and_is_then_another() {
        let (cache, _) = cached(3600);
        let asked = || request("a@example.com", &["s"]);
        assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 3600));
        advance(Duration::from_secs(99)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 3500));
        advance(Duration::from_secs(3199)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 301));
        advance(Duration::from_secs(1)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 1".into(), 3600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_life_has_a_short_margin() {
        let (cache, _) = cached(60);
        let asked = || request("a@example.com", &["s"]);
        ask(&cache, asked()).await;
        advance(Duration::from_secs(53)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 6));
        advance(Duration::from_secs(1)).await;
        assert_eq!(ask(&cache, asked()).await.0, "token 1");
    }

    #[tokio::test(start_paused = true)]
    async fn accounts_and_scopes_have_their_own() {
        let (cache, count) = cached(3600);
        for (email, scopes) in [("a", &["s"][..]), ("b", &["s"]), ("a", &["t"]), ("a", &["s", "t"]), ("a", &["s"])] {
            ask(&cache, request(email, scopes)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 4);
        assert_eq!(cache.hits.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_at_once_fetch_one() {
        let (cache, count) = cached(3600);
        let all = (0..1000).map(|_| ask(&cache, request("a@example.com", &["s"])));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(|(token, _)| token == "token 0"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_while_it_is_fetched_leaves_it_to_the_next() {
        let (cache, count) = cached(3600);
        let asked = || ask(&cache, request("a@example.com", &["s"]));
        assert!(tokio::time::timeout(Duration::from_millis(500), asked()).await.is_err());
        assert_eq!(asked().await.0, "token 1");
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_do_not_fill_the_memory() {
        let (cache, _) = cached(3600);
        let all =
            (0..3 * MOST_TOKENS).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
        futures_util::stream::iter(all).buffered(16).collect::<Vec<_>>().await;
        assert!(cache.tokens.lock().unwrap().len() <= MOST_TOKENS);
    }

    use futures_util::{FutureExt, StreamExt};
}
