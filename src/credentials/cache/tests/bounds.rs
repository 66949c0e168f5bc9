//! The cache against clients that want more than there is room for.

use super::super::kept::MOST_TOKENS;
use super::super::places::{LONGEST_QUEUE, MOST_FETCHES};
use super::*;

#[tokio::test(start_paused = true)]
async fn requests_do_not_fill_the_memory() {
    let (cache, _) = cached(3600);
    let all = (0..3 * MOST_TOKENS).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
    futures_util::stream::iter(all).buffered(16).collect::<Vec<_>>().await;
    assert!(cache.shared.tokens.lock().len() <= MOST_TOKENS);
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
    assert_eq!(cache.shared.tokens.lock().len(), MOST_TOKENS);
}

/// A source that says nothing, but for one token, and counts whom it keeps waiting.
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
async fn who_comes_and_goes_leaves_no_more_fetches_than_there_are_places() {
    let (cache, count) = silent();
    let wants = |scope: &str| cache.clone().oneshot(request("a@example.com", &[scope]));
    assert!(wants("hot").await.is_ok());
    for number in 0..2500 {
        assert!(tokio::time::timeout(Duration::from_millis(2), wants(&number.to_string())).await.is_err());
    }
    assert_eq!(count.load(Ordering::Relaxed), MOST_FETCHES as u64);
    assert_eq!(cache.shared.tokens.lock().len(), MOST_TOKENS);
    // Another account is not held up by that.
    let start = Instant::now();
    assert!(cache.clone().oneshot(request("b@example.com", &["hot"])).await.is_ok());
    assert!(start.elapsed().is_zero());
    // Whoever stays is told, and so are all who wait for the same.
    let (one, other) = tokio::join!(wants("stays"), wants("stays"));
    assert!(matches!((one, other), (Err(TokenError::Unavailable { .. }), Err(TokenError::Unavailable { .. }))));
    assert_eq!(start.elapsed(), LONGEST_QUEUE);
    assert!(wants("hot").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_leave_room_for_tokens() {
    let (cache, _) = silent();
    let wants = |scope: &str| cache.clone().call(request("a@example.com", &[scope]));
    assert!(wants("hot").await.is_ok());
    let mut waiting: Vec<_> = (0..2500).map(|number| wants(&number.to_string())).collect();
    assert_eq!(cache.shared.tokens.lock().len(), MOST_TOKENS);
    assert!(wants("hot").await.is_ok());
    assert!(matches!(waiting.pop().unwrap().now_or_never(), Some(Err(TokenError::Unavailable { .. }))));
    // As soon as they have left, there is room for others.
    drop(waiting);
    assert!(wants("another").now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_place_is_another_s_when_the_source_has_answered() {
    let (cache, count) = cached(3600);
    let wanted = 8 * MOST_FETCHES;
    let all = (0..wanted).map(|number| ask(&cache, request("a@example.com", &[&number.to_string()])).boxed());
    let start = Instant::now();
    futures_util::future::join_all(all).await;
    assert_eq!((start.elapsed().as_secs(), count.load(Ordering::Relaxed)), (8, wanted as u64));
}
