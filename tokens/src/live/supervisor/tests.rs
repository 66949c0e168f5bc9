//! Tests of the supervisor with sources that fail and recover, without metrics: it must not depend on them.

use super::*;
use crate::cache::CacheTokensLayer;
use crate::live::loaded::{AccessSource, IdSource};
use crate::live::{LiveOptions, LiveSource};
use crate::stack::{Answers, Fetches, TokenStack};
use gce_metadata_routes::token::{AccessToken, IdToken, TokenError};
use gce_metadata_routes::{Metadata, Publisher};
use std::sync::atomic::{AtomicU64, Ordering};
use tower::service_fn;

#[test]
fn credentials_and_config_that_disagree_are_reported() {
    let summary = |email: &str, project: &str| CredentialSummary {
        file: "key.json".into(),
        credential_type: "serviceAccountKey",
        email: Some(email.into()),
        project: Some(project.into()),
    };
    let account = ServiceAccount::new("a@example.com", Vec::new(), Vec::new());
    assert!(disagreements(&summary("a@example.com", "p"), &account, Some("p")).is_empty());
    let expected = [
        "key.json: the config says a@example.com, the credentials belong to b@example.com: tokens will be b@example.com's",
        "key.json: the config says project p, the credentials belong to project q",
    ];
    assert_eq!(disagreements(&summary("b@example.com", "q"), &account, Some("p")), expected);
    let expected = ["key.json: the config has no project ID, the credentials belong to project p"];
    assert_eq!(disagreements(&summary("a@example.com", "p"), &account, None), expected);
}

/// A supervisor of accounts whose access tokens this source makes. Their credentials are never used.
fn supervisor<S>(access: S) -> Supervisor<Fetches<AccessSource>, Fetches<IdSource>>
where
    S: Service<AccessTokenRequest, Response = AccessToken, Error = TokenError, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    let user = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&user, r#"{"type": "authorized_user", "client_id": "c", "refresh_token": "r"}"#).unwrap();
    let source = LiveSource::Impersonate { path: user.path().to_owned() };
    let health = SourceHealth::default();
    let stack = TokenStack::new("test", Answers::New, Arc::new(()), health.clone());
    let access = AccessSource::new(access.map_err(FetchError::from));
    let id = IdSource::new(service_fn(async |_: IdTokenRequest| Ok::<_, FetchError>(IdToken::new("t"))));
    let access = stack.clone().service::<AccessTokenRequest, _, _>(CacheTokensLayer::new().refresh_ahead(), access);
    let id = stack.service::<IdTokenRequest, _, _>(CacheTokensLayer::new(), id);
    Supervisor {
        accounts: Arc::new(LiveOptions::new(source).accounts().unwrap()),
        access: access.get_ref().clone(),
        id: id.get_ref().clone(),
        health,
        events: Arc::new(()),
    }
}

fn publisher(accounts: serde_json::Value) -> Publisher {
    let json = serde_json::json!({"instance": {"serviceAccounts": accounts}});
    Publisher::new(Metadata::from_json(json).unwrap().tree())
}

fn token() -> AccessToken {
    AccessToken::new("t", Duration::from_secs(3600))
}

/// A source that counts its fetches, and fails those with a number in this range.
fn failing(
    fails: std::ops::Range<u64>,
) -> (
    impl Service<AccessTokenRequest, Response = AccessToken, Error = TokenError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static,
    Arc<AtomicU64>,
) {
    let fetches = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&fetches);
    let source = service_fn(move |_: AccessTokenRequest| {
        std::future::ready(match fails.contains(&counter.fetch_add(1, Ordering::Relaxed)) {
            true => Err(TokenError::Unavailable { reason: "down".into() }),
            false => Ok(token()),
        })
    });
    (source, fetches)
}

#[tokio::test(start_paused = true)]
async fn a_failed_account_is_probed_without_metrics_until_it_recovers() {
    let (source, fetches) = failing(0..3);
    let supervisor = supervisor(source);
    let is_ready = || supervisor.health.is_ready(|_| true);
    let publisher = publisher(serde_json::json!({"default": {"email": "a@example.com"}}));
    let reader = publisher.reader();
    supervisor.probe(&reader).await;
    assert!(!is_ready());
    tokio::time::timeout(REPROBE * 10, supervisor.reprobe(&reader)).await.unwrap_err();
    assert!(is_ready());
    assert_eq!(fetches.load(Ordering::Relaxed), 4, "a healthy account is not probed again");
    // A new account is probed.
    publisher.set("instance/service-accounts/default/email", "b@example.com").unwrap();
    tokio::time::timeout(REPROBE * 10, supervisor.reprobe(&reader)).await.unwrap_err();
    assert_eq!(fetches.load(Ordering::Relaxed), 5);
}

/// No request reaches the source for such an account, so its failure would make the server unready for ever.
#[tokio::test(start_paused = true)]
async fn an_account_without_scopes_is_not_probed_for_access_tokens() {
    let (source, fetches) = failing(0..u64::MAX);
    let supervisor = supervisor(source);
    let reader = publisher(serde_json::json!({"a@example.com": {"scopes": []}})).reader();
    supervisor.probe(&reader).await;
    tokio::time::timeout(REPROBE * 10, supervisor.reprobe(&reader)).await.unwrap_err();
    assert_eq!(fetches.load(Ordering::Relaxed), 0);
    assert!(supervisor.health.is_ready(|_| true));
}

/// A cached token must not hide an outage of the source, nor its recovery.
#[tokio::test(start_paused = true)]
async fn a_failed_source_is_probed_even_if_a_token_is_cached() {
    let (source, fetches) = failing(1..3);
    let supervisor = supervisor(source);
    let is_ready = || supervisor.health.is_ready(|_| true);
    let reader = publisher(serde_json::json!({"a@example.com": {}})).reader();
    supervisor.probe(&reader).await;
    assert!(is_ready());
    supervisor.health.record("a@example.com", "access", false);
    for (ready, times) in [(false, 2), (false, 3), (true, 4), (true, 4)] {
        tokio::time::timeout(REPROBE + Duration::from_secs(1), supervisor.reprobe(&reader)).await.unwrap_err();
        assert_eq!((is_ready(), fetches.load(Ordering::Relaxed)), (ready, times));
    }
}

/// The kinds may have different sources: one may fail while the other answers.
#[tokio::test(start_paused = true)]
async fn access_and_identity_tokens_have_separate_health() {
    let supervisor = supervisor(service_fn(async |_: AccessTokenRequest| Ok(token())));
    let is_ready = || supervisor.health.is_ready(|_| true);
    let reader = publisher(serde_json::json!({"a@example.com": {}})).reader();
    supervisor.health.record("a@example.com", "identity", false);
    supervisor.probe(&reader).await;
    assert!(!is_ready());
    tokio::time::timeout(REPROBE + Duration::from_secs(1), supervisor.reprobe(&reader)).await.unwrap_err();
    assert!(is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_unresponsive_source_does_not_delay_the_probes_of_others() {
    let supervisor = supervisor(service_fn(async |_: AccessTokenRequest| {
        sleep(Duration::from_secs(30)).await;
        Err(TokenError::Unavailable { reason: "did not answer in time".into() })
    }));
    let names: serde_json::Map<_, _> =
        (0..2 * MAX_PROBES).map(|number| (format!("{number}@example.com"), serde_json::json!({}))).collect();
    let publisher = publisher(names.into());
    let start = tokio::time::Instant::now();
    supervisor.probe(&publisher.reader()).await;
    assert_eq!(start.elapsed().as_secs(), 60, "half of them at a time");
}
