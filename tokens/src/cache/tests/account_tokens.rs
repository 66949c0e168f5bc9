//! Tests of listing and evicting the cached tokens of one account.

use super::super::account_tokens::AccountTokens;
use super::*;

#[tokio::test(start_paused = true)]
async fn only_the_valid_tokens_of_the_account_are_listed() {
    let (cache, _) = cached(3600);
    assert!(cache.list("a").is_empty());
    for (email, scope) in [("a", "s"), ("a", "t"), ("b", "s")] {
        ask(&cache, request(email, &[scope])).await;
    }
    let list = |account| {
        let listed = cache.list(account).into_iter();
        let mut listed: Vec<_> = listed.map(|(request, left)| (request.scopes[0].clone(), left.as_secs())).collect();
        listed.sort();
        listed
    };
    // Each fetch took a second, and the lifetime starts with the fetch.
    assert_eq!(list("a"), [("s".into(), 3597), ("t".into(), 3598)]);
    advance(Duration::from_secs(3597)).await;
    assert_eq!(list("a"), [("t".into(), 1)], "a token in its last second is not valid");
    assert_eq!(list("b"), [("s".into(), 2)]);
}

#[tokio::test(start_paused = true)]
async fn eviction_of_an_account_keeps_the_tokens_of_others() {
    let (cache, _) = cached(3600);
    for email in ["a", "b"] {
        ask(&cache, request(email, &["s"])).await;
    }
    cache.evict("a");
    assert_eq!(ask(&cache, request("b", &["s"])).await.0, "token 1");
    assert_eq!(ask(&cache, request("a", &["s"])).await.0, "token 2");
}

#[tokio::test(start_paused = true)]
async fn eviction_of_an_account_ends_the_retry_after_of_its_failures() {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let source = service_fn(move |_: AccessTokenRequest| {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut failure = FetchError::from(TokenError::Unavailable { reason: "busy".into() });
        failure.retry_at = Some(Instant::now() + Duration::from_secs(120));
        ready(Err::<AccessToken, _>(failure))
    });
    let cache = CacheTokensLayer::new().layer(source);
    for calls in [1, 1] {
        assert!(cache.clone().oneshot(request("a", &["s"])).await.is_err());
        assert_eq!(count.load(Ordering::Relaxed), calls);
    }
    cache.evict("a");
    assert!(cache.clone().oneshot(request("a", &["s"])).await.is_err());
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_fetch_in_flight_is_not_cached_after_an_eviction_of_its_account() {
    let (cache, count) = cached(3600);
    let asked = || request("a", &["s"]);
    let evict = async {
        sleep(Duration::from_millis(500)).await;
        cache.evict("a");
    };
    let (first, second, ()) = tokio::join!(ask(&cache, asked()), ask(&cache, asked()), evict);
    // The first request started the fetch. The second one waited for it, and fetches again after the eviction.
    assert_eq!((&*first.0, &*second.0), ("token 0", "token 1"));
    assert_eq!(ask(&cache, asked()).await.0, "token 1");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}
