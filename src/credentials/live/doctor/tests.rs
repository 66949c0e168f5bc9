//! The doctor with sources that fail and come back.

use super::*;
use crate::credentials::cache::CacheTokensLayer;
use crate::credentials::live::{LiveOptions, LiveSource};
use crate::credentials::observe;
use gce_metadata_routes::token::{AccessToken, IdToken, TokenError};
use gce_metadata_routes::{Metadata, Publisher};
use std::sync::atomic::{AtomicU64, Ordering};
use tower::{Layer, Service, service_fn};

#[test]
fn what_disagrees_is_said() {
    let found = |email: &str, project: &str| Found {
        file: "key.json".into(),
        credential_type: "serviceAccountKey",
        email: Some(email.into()),
        project: Some(project.into()),
    };
    let account = ServiceAccount::new("a@example.com", Vec::new(), Vec::new());
    assert!(doubts(&found("a@example.com", "p"), &account, Some("p")).is_empty());
    assert_eq!(doubts(&found("b@example.com", "q"), &account, Some("p")).len(), 2);
    let said = ["key.json: a key of the project p; the config has none"];
    assert_eq!(doubts(&found("a@example.com", "p"), &account, None), said);
}

/// Of accounts whose credentials are somebody's that is never asked, and whose tokens come from this source.
fn doctor<S>(access: S, metrics: Option<&Metrics>) -> Doctor
where
    S: Service<AccessTokenRequest, Response = AccessToken, Error = TokenError, Future: Send>,
    S: Clone + Send + Sync + 'static,
{
    let person = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&person, r#"{"type": "authorized_user", "client_id": "c", "refresh_token": "r"}"#).unwrap();
    let source = LiveSource::Impersonate { path: person.path().to_owned() };
    let access = AccessSource::new(observe::watched(access, "test", metrics.cloned()));
    let id = service_fn(async |_: IdTokenRequest| Ok::<_, TokenError>(IdToken::new("t")));
    let id = IdSource::new(observe::watched(id, "test", metrics.cloned()));
    Doctor {
        accounts: Arc::new(LiveOptions::new(source).accounts().unwrap()),
        access: CacheTokensLayer::new().refresh_ahead().layer(access),
        id: CacheTokensLayer::new().layer(id),
        metrics: metrics.cloned(),
    }
}

fn publisher(accounts: serde_json::Value) -> Publisher {
    let json = serde_json::json!({"instance": {"serviceAccounts": accounts}});
    Publisher::new(Metadata::from_json(json).unwrap().tree())
}

fn token() -> AccessToken {
    AccessToken::new("t", Duration::from_secs(3600))
}

#[tokio::test(start_paused = true)]
async fn an_account_that_goes_without_is_looked_at_until_it_does_not() {
    let metrics = Metrics::new();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let access = service_fn(move |_: AccessTokenRequest| {
        let outcome = match count.fetch_add(1, Ordering::Relaxed) {
            0..3 => Err(TokenError::Unavailable { reason: "no network yet".into() }),
            _ => Ok(token()),
        };
        std::future::ready(outcome)
    });
    let doctor = doctor(access, Some(&metrics));
    let publisher = publisher(serde_json::json!({"default": {"email": "a@example.com"}}));
    let reader = publisher.reader();
    doctor.examine(&reader).await;
    assert!(!metrics.tokens_are_well());
    tokio::time::timeout(REVISIT * 10, doctor.revisit(&reader)).await.unwrap_err();
    assert!(metrics.tokens_are_well());
    assert_eq!(asked.load(Ordering::Relaxed), 4, "whoever has tokens is left alone");
    // Whoever comes later is new.
    publisher.set("instance/service-accounts/default/email", "b@example.com").unwrap();
    tokio::time::timeout(REVISIT * 10, doctor.revisit(&reader)).await.unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 5);
}

/// A token in the cache must neither hide that the source is down nor keep from it that it is well again.
#[tokio::test(start_paused = true)]
async fn an_account_with_tokens_whose_source_fails_is_tried_out_at_the_source() {
    let metrics = Metrics::new();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let access = service_fn(move |_: AccessTokenRequest| {
        std::future::ready(match count.fetch_add(1, Ordering::Relaxed) {
            1..3 => Err(TokenError::Unavailable { reason: "down".into() }),
            _ => Ok(token()),
        })
    });
    let doctor = doctor(access, Some(&metrics));
    let reader = publisher(serde_json::json!({"a@example.com": {}})).reader();
    doctor.examine(&reader).await;
    assert!(metrics.tokens_are_well());
    let failure = TokenError::Unavailable { reason: "down".into() };
    metrics.token_fetched("a@example.com", "access", "test", Some(&failure), Duration::ZERO);
    for (well, times) in [(false, 2), (false, 3), (true, 4), (true, 4)] {
        tokio::time::timeout(REVISIT + Duration::from_secs(1), doctor.revisit(&reader)).await.unwrap_err();
        assert_eq!((metrics.tokens_are_well(), asked.load(Ordering::Relaxed)), (well, times));
    }
}

/// That access tokens can be had says nothing of identity tokens, which only the source for those can say.
#[tokio::test(start_paused = true)]
async fn each_kind_of_token_has_a_verdict_of_its_own() {
    let metrics = Metrics::new();
    let doctor = doctor(service_fn(async |_: AccessTokenRequest| Ok(token())), Some(&metrics));
    let reader = publisher(serde_json::json!({"a@example.com": {}})).reader();
    let failure = TokenError::Unavailable { reason: "down".into() };
    metrics.token_fetched("a@example.com", "identity", "test", Some(&failure), Duration::ZERO);
    doctor.examine(&reader).await;
    assert!(!metrics.tokens_are_well());
    tokio::time::timeout(REVISIT + Duration::from_secs(1), doctor.revisit(&reader)).await.unwrap_err();
    assert!(metrics.tokens_are_well());
}

#[tokio::test(start_paused = true)]
async fn a_silent_source_holds_up_no_other() {
    let access = service_fn(async |_: AccessTokenRequest| {
        sleep(Duration::from_secs(30)).await;
        Err(TokenError::Unavailable { reason: "did not answer in time".into() })
    });
    let doctor = doctor(access, None);
    let names: serde_json::Map<_, _> =
        (0..2 * AT_A_TIME).map(|number| (format!("{number}@example.com"), serde_json::json!({}))).collect();
    let publisher = publisher(names.into());
    let start = tokio::time::Instant::now();
    doctor.examine(&publisher.reader()).await;
    assert_eq!(start.elapsed().as_secs(), 60, "half of them at a time");
}
