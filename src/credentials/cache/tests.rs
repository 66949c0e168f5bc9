//! The cache against sources that are slow, fail and count.

mod bounds;

use super::clock::moved;
use super::entry::RETRY_AFTER;
use super::*;
use futures_util::{FutureExt, StreamExt};
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use tower::service_fn;

fn request(email: &str, scopes: &[&str]) -> AccessTokenRequest {
    let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    let account = ServiceAccount::new(email, scopes.clone(), Vec::new()).into();
    AccessTokenRequest::new(account, scopes)
}

type Source = tower::util::BoxCloneSyncService<AccessTokenRequest, AccessToken, TokenError>;

/// A source that takes a second for each token, numbers them, and counts what it was asked.
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
async fn a_token_ends_while_the_machine_sleeps() {
    let (clock, move_by) = moved();
    let (cache, _) = cached_by(clock, 3600);
    let asked = || request("a@example.com", &["s"]);
    ask(&cache, asked()).await;
    move_by(3000);
    assert_eq!(ask(&cache, asked()).await, ("token 0".into(), 600));
    move_by(300);
    assert_eq!(ask(&cache, asked()).await, ("token 1".into(), 3600));
    // A clock that is set back prolongs nothing.
    move_by(-86400);
    advance(Duration::from_secs(3298)).await;
    assert_eq!(ask(&cache, asked()).await, ("token 1".into(), 301));
    advance(Duration::from_secs(1)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 2");
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
    assert_eq!(cache.shared.hits.count(), 1);
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
async fn who_leaves_while_it_is_fetched_leaves_the_token_to_the_next() {
    let (cache, count) = cached(3600);
    let asked = || ask(&cache, request("a@example.com", &["s"]));
    // Everybody gives up before the source is done.
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(400), asked()).await.is_err());
    }
    assert_eq!(asked().await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

/// A cache over a source that fails whenever it is told to.
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
async fn a_failed_refresh_serves_what_is_still_valid_and_is_not_tried_by_each_request() {
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
    advance(RETRY_AFTER).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 2");
    // A token that is used up is no answer, whatever happens.
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3600)).await;
    assert!(cache.clone().oneshot(asked()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_at_once_share_one_failure_too() {
    let (cache, count, fails) = failing(false);
    fails.store(true, Ordering::Relaxed);
    let all = (0..1000).map(|_| cache.clone().oneshot(request("a@example.com", &["s"])));
    let answers = futures_util::future::join_all(all).await;
    assert!(answers.iter().all(Result::is_err));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    // Who comes later has it tried again.
    fails.store(false, Ordering::Relaxed);
    assert_eq!(ask(&cache, request("a@example.com", &["s"])).await.0, "token 1");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_ahead_keeps_nobody_waiting() {
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
async fn a_refresh_ahead_that_fails_keeps_nobody_waiting_while_the_token_is_valid() {
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
        sleep(Duration::from_secs(1) + RETRY_AFTER).await;
        assert_eq!(count.load(Ordering::Relaxed), attempt);
    }
    fails.store(false, Ordering::Relaxed);
    assert_eq!(ask(&cache, asked()).await.0, "token 0");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&cache, asked()).await.0, "token 39");
    // A token that is used up is no answer, whatever happens.
    fails.store(true, Ordering::Relaxed);
    advance(Duration::from_secs(3600)).await;
    assert!(cache.clone().oneshot(asked()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_source_that_asks_for_a_pause_gets_one() {
    let count = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&count);
    // The first time two minutes, and then more than it will get.
    let source = service_fn(move |_: AccessTokenRequest| {
        let pause = if counter.fetch_add(1, Ordering::Relaxed) == 0 { 120 } else { 86400 };
        let mut failure = Failure::from(TokenError::Unavailable { reason: "busy".into() });
        failure.not_before = Some(Instant::now() + Duration::from_secs(pause));
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
    // Another token is another matter.
    assert!(cache.clone().oneshot(request("a@example.com", &["t"])).await.is_err());
    assert_eq!(count.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn one_slow_account_holds_up_no_other() {
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
async fn what_is_forgotten_while_it_is_fetched_is_not_kept() {
    let (cache, count) = cached(3600);
    let asked = || request("a@example.com", &["s"]);
    let forget = async {
        sleep(Duration::from_millis(500)).await;
        cache.revise(&|_| Fate::Forget);
    };
    let both = async { tokio::join!(ask(&cache, asked()), ask(&cache, asked()), forget) };
    let (first, second, ()) = both.await;
    // The first was on its way; the second had only waited for it, and gets what the new key makes.
    assert_eq!((&*first.0, &*second.0), ("token 0", "token 1"));
    assert_eq!(ask(&cache, asked()).await.0, "token 1");
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[cfg(feature = "live")]
#[tokio::test(start_paused = true)]
async fn of_new_credentials_only_their_accounts_notice() {
    let (cache, count, fails) = failing(true);
    let accounts = ["kept", "renewed", "forgotten"];
    for account in accounts {
        ask(&cache, request(account, &["s"])).await;
    }
    fails.store(true, Ordering::Relaxed);
    cache.revise(&|account| match &*account.email {
        "kept" => Fate::Keep,
        "renewed" => Fate::Renew,
        _ => Fate::Forget,
    });
    assert_eq!(ask(&cache, request("kept", &["s"])).await.0, "token 0");
    assert_eq!(count.load(Ordering::Relaxed), 3);
    assert!(cache.clone().oneshot(request("forgotten", &["s"])).await.is_err());
    // The old one serves while the new credentials are no good.
    for _ in 0..3 {
        assert_eq!(ask(&cache, request("renewed", &["s"])).await.0, "token 1");
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(count.load(Ordering::Relaxed), 5);
    fails.store(false, Ordering::Relaxed);
    advance(RETRY_AFTER).await;
    assert_eq!(ask(&cache, request("renewed", &["s"])).await.0, "token 1");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&cache, request("renewed", &["s"])).await.0, "token 5");
}
