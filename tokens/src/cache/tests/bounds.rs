//! Tests of the bounds of the cache: entries, eviction, in-flight fetches.

use super::super::fetch_slots::{MAX_FETCHES, MAX_WAIT};
use super::super::store::MAX_TOKENS;
use super::*;

#[tokio::test(start_paused = true)]
async fn the_number_of_cached_tokens_is_bounded() {
    let (cache, _) = cached(3600);
    let all = (0..3 * MAX_TOKENS).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
    futures_util::stream::iter(all).buffered(16).collect::<Vec<_>>().await;
    assert!(cache.shared.tokens.lock().len() <= MAX_TOKENS);
}

#[tokio::test(start_paused = true)]
async fn a_recently_used_token_is_not_evicted_by_many_new_ones() {
    let (cache, count) = cached(36000);
    let hot = || request("a@example.com", &["hot"]);
    for round in 0..4 {
        assert_eq!(ask(&cache, hot()).await.0, "token 0");
        for number in 1..MAX_TOKENS {
            ask(&cache, request("a@example.com", &[&format!("{round}.{number}")])).await;
        }
    }
    assert_eq!(ask(&cache, hot()).await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 1 + 4 * (MAX_TOKENS as u64 - 1));
}

#[tokio::test(start_paused = true)]
async fn failures_are_evicted_before_tokens_and_retry_afters() {
    let source = service_fn(|request: AccessTokenRequest| {
        let mut failure = FetchError::from(TokenError::Unavailable { reason: "busy".into() });
        ready(match &*request.scopes[0] {
            "token" => Ok(AccessToken::new("token", Duration::from_secs(3600))),
            "pause" => {
                failure.retry_at = Some(Instant::now() + Duration::from_secs(300));
                Err(failure)
            }
            _ => Err(failure),
        })
    });
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let source = source.map_request(move |request| {
        counter.fetch_add(1, Ordering::Relaxed);
        request
    });
    let cache = CacheTokensLayer::new().layer(source);
    let ask = async |scope: &str| cache.clone().oneshot(request("a@example.com", &[scope])).await.is_ok();
    assert!(ask("token").await && !ask("pause").await);
    for number in 0..3 * MAX_TOKENS {
        advance(Duration::from_millis(1)).await;
        assert!(!ask(&number.to_string()).await);
    }
    let before = count.load(Ordering::Relaxed);
    assert!(ask("token").await && !ask("pause").await);
    assert_eq!(count.load(Ordering::Relaxed), before);
    assert_eq!(cache.shared.tokens.lock().len(), MAX_TOKENS);
}

/// A cache over a source that answers for the scope `hot` only, and counts its other calls.
fn silent() -> (CacheTokens<Source, AccessTokenRequest>, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let source = service_fn(move |request: AccessTokenRequest| {
        let waits = request.scopes[0] != "hot";
        counter.fetch_add(waits.into(), Ordering::Relaxed);
        async move {
            if waits {
                std::future::pending::<()>().await;
            }
            Ok(AccessToken::new("token", Duration::from_secs(3600)))
        }
    });
    (CacheTokensLayer::new().layer(Source::new(source)), count)
}

#[tokio::test(start_paused = true)]
async fn in_flight_fetches_are_bounded_after_clients_disconnect() {
    let (cache, count) = silent();
    let ask = |scope: &str| cache.clone().oneshot(request("a@example.com", &[scope]));
    assert!(ask("hot").await.is_ok());
    for number in 0..2500 {
        assert!(tokio::time::timeout(Duration::from_millis(2), ask(&number.to_string())).await.is_err());
    }
    assert_eq!(count.load(Ordering::Relaxed), MAX_FETCHES as u64);
    assert_eq!(cache.shared.tokens.lock().len(), MAX_TOKENS);
    // Another account is not delayed.
    let start = Instant::now();
    assert!(cache.clone().oneshot(request("b@example.com", &["hot"])).await.is_ok());
    assert!(start.elapsed().is_zero());
    // A request that gets no slot fails every request that waits for the same token.
    let (one, other) = tokio::join!(ask("stays"), ask("stays"));
    assert!(matches!((one, other), (Err(TokenError::Unavailable { .. }), Err(TokenError::Unavailable { .. }))));
    assert_eq!(start.elapsed(), MAX_WAIT);
    assert!(ask("hot").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiting_requests_do_not_evict_tokens() {
    let (cache, _) = silent();
    let ask = |scope: &str| cache.clone().call(request("a@example.com", &[scope]));
    assert!(ask("hot").await.is_ok());
    let mut waiting: Vec<_> = (0..2500).map(|number| ask(&number.to_string())).collect();
    assert_eq!(cache.shared.tokens.lock().len(), MAX_TOKENS);
    assert!(ask("hot").await.is_ok());
    assert!(matches!(waiting.pop().unwrap().now_or_never(), Some(Err(TokenError::Unavailable { .. }))));
    // After the clients have disconnected, other tokens can be fetched.
    drop(waiting);
    assert!(ask("another").now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_fetch_slot_is_released_when_the_source_answers() {
    let (cache, count) = cached(3600);
    let wanted = 8 * MAX_FETCHES;
    let all = (0..wanted).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
    let start = Instant::now();
    futures_util::future::join_all(all).await;
    assert_eq!((start.elapsed().as_secs(), count.load(Ordering::Relaxed)), (8, wanted as u64));
}
