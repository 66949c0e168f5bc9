//! Tests of the cache with slow, failing and counting sources.

mod bounds;

use super::entry::BACKOFF;
use super::*;
use futures_util::{FutureExt, StreamExt};
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest};
use gce_metadata_support::clock::movable;
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use tower::service_fn;

fn request(email: &str, scopes: &[&str]) -> AccessTokenRequest {
    let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let account = ServiceAccount::new(email, scopes.clone(), Vec::new()).into();
    AccessTokenRequest::new(account, scopes)
}

type Source = tower::util::BoxCloneSyncService<AccessTokenRequest, AccessToken, TokenError>;

/// A cache over a source that takes a second for each token, numbers them, and counts its calls.
fn cached(lifetime: u64) -> (CacheTokens<Source, AccessTokenRequest>, Arc<AtomicU64>) {
    cached_by(Clock::default(), lifetime)
}

fn cached_by(clock: Clock, lifetime: u64) -> (CacheTokens<Source, AccessTokenRequest>, Arc<AtomicU64>) {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    let source = service_fn(move |_: AccessTokenRequest| {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(Duration::from_secs(1)).await;
            Ok(AccessToken::new(format!("token {number}"), Duration::from_secs(lifetime)))
        }
    });
    (CacheTokensLayer { clock, ..CacheTokensLayer::new() }.layer(Source::new(source)), count)
}

async fn ask(cache: &CacheTokens<Source, AccessTokenRequest>, request: AccessTokenRequest) -> (String, u64) {
    let token = cache.clone().oneshot(request).await.unwrap();
    (token.token.expose().to_owned(), token.expires_in.as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_token_is_served_until_five_minutes_are_left() {
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
async fn a_token_expires_during_system_sleep() {
    let (clock, move_by) = movable();
    let (cache, _) = cached_by(clock, 3600);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    move_by(3000);
    assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 600));
    move_by(300);
    assert_eq!(ask(&cache, asked()).await, ("token 1".into(), 3600));
    // A clock that is set back does not prolong the life of the token.
    move_by(-86400);
    advance(Duration::from_secs(3298)).await;
    assert_eq!(ask(&cache, asked()).await, ("token 1".into(), 301));
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 2");
}

#[tokio::test(start_paused = true)]
async fn a_short_lived_token_has_a_proportional_margin() {
    let (cache, _) = cached(60);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    advance(Duration::from_secs(53)).await;
    assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 6));
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 1");
}

/// The `expires_in` of its answer would be 0.
#[tokio::test(start_paused = true)]
async fn a_token_with_less_than_a_second_to_live_is_not_served() {
    for lifetime in [2, 8] {
        let (cache, _) = cached(lifetime);
        let asked = || request("a@example.com", &["s"]);
        ask(&cache, asked()).await;
        // The source took a second.
        advance(Duration::from_secs(lifetime - 2)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 1));
        advance(Duration::from_millis(1)).await;
        assert_eq!(ask(&cache, asked()).await, ("token 1".into(), lifetime));
    }
}

#[tokio::test(start_paused = true)]
async fn each_account_and_set_of_scopes_has_a_separate_token() {
    let (cache, count) = cached(3600);
    for (email, scopes) in [("a", &["s"][..]), ("b", &["s"]), ("a", &["t"]), ("a", &["s", "t"]), ("a", &["s"])] {
        ask(&cache, request(email, scopes)).await;
    }
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert_eq!(cache.shared.hits.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_fetch() {
    let (cache, count) = cached(3600);
    let all = (0..1000).map(|_| ask(&cache, request("a@example.com", &["s"])));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(|(token, _)| token == "token 0"));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_continues_after_its_client_disconnects() {
    let (cache, count) = cached(3600);
    let asked = || ask(&cache, request("a@example.com", &["s"]));
    // Both clients time out before the source answers.
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(400), asked()).await.is_err());
    }
    assert_eq!(asked().await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

/// A cache over a source that fails while the flag is set.
fn failing(
    ahead: bool,
) -> (CacheTokens<Source, AccessTokenRequest>, Arc<AtomicU64>, Arc<std::sync::atomic::AtomicBool>) {
    let (count, fails) = (Arc::new(AtomicU64::new(0)), Arc::new(std::sync::atomic::AtomicBool::new(false)));
    let (counter, failing) = (Arc::clone(&count), Arc::clone(&fails));
    let source = service_fn(move |_: AccessTokenRequest| {
        let (number, fails) = (counter.fetch_add(1, Ordering::Relaxed), failing.load(Ordering::Relaxed));
        async move {
            sleep(Duration::from_secs(1)).await;
            if fails {
                return Err(TokenError::Unavailable { reason: "told to fail".into() });
            }
            Ok(AccessToken::new(format!("token {number}"), Duration::from_secs(3600)))
        }
    });
    let layer = if ahead { CacheTokensLayer::new().refresh_ahead() } else { CacheTokensLayer::new() };
    (layer.layer(Source::new(source)), count, fails)
}

#[tokio::test(start_paused = true)]
async fn a_failed_refresh_serves_the_valid_token_and_backs_off() {
    let (cache, count, fails) = failing(false);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3400)).await;
    for _ in 0..5 {
        assert_eq!(ask(&cache, asked()).await.0, "token 0");
    }
    assert_eq!(count.load(Ordering::Relaxed), 2);
    fails.store(false, Ordering::Relaxed);
    advance(BACKOFF).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 2");
    // An expired token is never served.
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3600)).await;
    assert!(cache.clone().oneshot(asked()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_token_with_less_than_a_second_to_live_is_not_served_during_an_outage() {
    let (cache, _, fails) = failing(false);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    fails.store(true, Ordering::Relaxed);
    // The first fetch took a second, and the failing one takes another.
    advance(Duration::from_secs(3597)).await;
    assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 1));
    advance(Duration::from_millis(1)).await;
    assert!(cache.clone().oneshot(asked()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn concurrent_requests_share_one_failure() {
    let (cache, count, fails) = failing(false);
    fails.store(true, Ordering::Relaxed);
    let all = (0..1000).map(|_| cache.clone().oneshot(request("a@example.com", &["s"])));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    // A later request tries again.
    fails.store(false, Ordering::Relaxed);
    assert_eq!(ask(&cache, request("a@example.com", &["s"])).await.0, "token 1");
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_for_a_refresh_ahead() {
    let (cache, count, _) = failing(true);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    advance(Duration::from_secs(3600 - 2 * 300)).await;
    let start = Instant::now();
    for _ in 0..5 {
        assert_eq!(ask(&cache, asked()).await.0, "token 0");
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 1");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn no_request_waits_for_a_failed_refresh_ahead_while_the_token_is_valid() {
    let (cache, count, fails) = failing(true);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3600 - 2 * 300)).await;
    for attempt in 2..40 {
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(ask(&cache, asked()).await.0, "token 0");
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "attempt {attempt}");
        sleep(Duration::from_secs(1) + BACKOFF).await;
        assert_eq!(count.load(Ordering::Relaxed), attempt);
    }
    fails.store(false, Ordering::Relaxed);
    assert_eq!(ask(&cache, asked()).await.0, "token 0");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 39");
    // An expired token is never served.
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3600)).await;
    assert!(cache.clone().oneshot(asked()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_respected_up_to_its_maximum() {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    // Two minutes first, then more than the maximum.
    let source = service_fn(move |_: AccessTokenRequest| {
        let pause = if counter.fetch_add(1, Ordering::Relaxed) == 0 { 120 } else { 86400 };
        let mut failure = FetchError::from(TokenError::Unavailable { reason: "busy".into() });
        failure.retry_at = Some(Instant::now() + Duration::from_secs(pause));
        ready(Err::<AccessToken, _>(failure))
    });
    let cache = CacheTokensLayer::new().refresh_ahead().layer(source);
    for (seconds, calls) in [(0, 1), (119, 1), (1, 2), (299, 2), (1, 3)] {
        advance(Duration::from_secs(seconds)).await;
        for _ in 0..5 {
            assert!(cache.clone().oneshot(request("a@example.com", &["s"])).await.is_err());
        }
        assert_eq!(count.load(Ordering::Relaxed), calls);
    }
    // The Retry-After applies to one token only.
    assert!(cache.clone().oneshot(request("a@example.com", &["t"])).await.is_err());
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_slow_account_does_not_delay_another() {
    let source = service_fn(|request: AccessTokenRequest| async move {
        if request.account.email == "slow@example.com" {
            std::future::pending::<()>().await;
        }
        Ok(AccessToken::new("token", Duration::from_secs(3600)))
    });
    let cache: CacheTokens<Source, AccessTokenRequest> = CacheTokensLayer::new().layer(Source::new(source));
    let slow = tokio::spawn(cache.clone().oneshot(request("slow@example.com", &["s"])));
    tokio::task::yield_now().await;
    assert_eq!(ask(&cache, request("a@example.com", &["s"])).await.0, "token");
    assert!(!slow.is_finished());
    slow.abort();
}

#[cfg(feature = "live")]
#[tokio::test(start_paused = true)]
async fn a_token_evicted_during_its_fetch_is_not_cached() {
    let (cache, count) = cached(3600);
    let asked = || request("a@example.com", &["s"]);
    let evict = async {
        sleep(Duration::from_millis(500)).await;
        cache.invalidate(&|_| Invalidation::Evict);
    };
    let both = async { tokio::join!(ask(&cache, asked()), ask(&cache, asked()), evict) };
    let (first, second, ()) = both.await;
    // The second request waited for the first fetch; after the eviction it fetches with the new credentials.
    assert_eq!((&*first.0, &*second.0), ("token 0", "token 1"));
    assert_eq!(ask(&cache, asked()).await.0, "token 1");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[cfg(feature = "live")]
#[tokio::test(start_paused = true)]
async fn new_credentials_invalidate_only_the_tokens_of_their_accounts() {
    let (cache, count, fails) = failing(true);
    let accounts = ["kept", "refreshed", "evicted"];
    for account in accounts {
        ask(&cache, request(account, &["s"])).await;
    }
    fails.store(true, Ordering::Relaxed);
    cache.invalidate(&|account| match &*account.email {
        "kept" => Invalidation::Keep,
        "refreshed" => Invalidation::Refresh,
        _ => Invalidation::Evict,
    });
    assert_eq!(ask(&cache, request("kept", &["s"])).await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 3);
    assert!(cache.clone().oneshot(request("evicted", &["s"])).await.is_err());
    // The stale token is served while the new credentials fail.
    for _ in 0..3 {
        assert_eq!(ask(&cache, request("refreshed", &["s"])).await.0, "token 1");
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(count.load(Ordering::Relaxed), 5);
    fails.store(false, Ordering::Relaxed);
    advance(BACKOFF).await;
    assert_eq!(ask(&cache, request("refreshed", &["s"])).await.0, "token 1");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&cache, request("refreshed", &["s"])).await.0, "token 5");
}
