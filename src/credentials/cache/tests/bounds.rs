//! The cache against clients that want more than there is room for.

use super::super::kept::MOST_TOKENS;
use super::*;

#[tokio::test(start_paused = true)]
async fn requests_do_not_fill_the_memory() {
    let (cache, _) = cached(3600);
    let all = (0..3 * MOST_TOKENS).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
    futures_util::stream::iter(all).buffered(16).collect::<Vec<_>>().await;
    assert!(cache.tokens.lock().len() <= MOST_TOKENS);
}

#[tokio::test(start_paused = true)]
async fn of_a_flood_of_others_a_token_that_is_wanted_notices_nothing() {
    let (cache, count) = cached(36000);
    let hot = || request("a@example.com", &["hot"]);
    for round in 0..4 {
        assert_eq!(ask(&cache, hot()).await.0, "token 0");
        for number in 1..MOST_TOKENS {
            ask(&cache, request("a@example.com", &[&format!("{round}.{number}")])).await;
        }
    }
    assert_eq!(ask(&cache, hot()).await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 1 + 4 * (MOST_TOKENS as u64 - 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_good_for_nothing_goes_before_tokens_and_pauses() {
    let source = service_fn(|request: AccessTokenRequest| {
        let mut failure = Failure::from(TokenError::Unavailable { reason: "busy".into() });
        ready(match &*request.scopes[0] {
            "token" => Ok(AccessToken::new("token", Duration::from_secs(3600))),
            "pause" => {
                failure.not_before = Some(Instant::now() + Duration::from_secs(300));
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
    for number in 0..3 * MOST_TOKENS {
        advance(Duration::from_millis(1)).await;
        assert!(!ask(&number.to_string()).await);
    }
    let before = count.load(Ordering::Relaxed);
    assert!(ask("token").await && !ask("pause").await);
    assert_eq!(count.load(Ordering::Relaxed), before);
    assert_eq!(cache.tokens.lock().len(), MOST_TOKENS);
}
