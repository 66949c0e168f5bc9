//! Tests of run-time control with fixed tokens, the offline issuer, and services of an embedder.

mod behaviour;

use super::*;
use crate::events::{TokenEvents, TokenOutcome};
use crate::{CredentialSource, Credentials};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gce_metadata_routes::token::TokenError;
use gce_metadata_routes::{ServiceAccount, TokenSources};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::advance;
use tower::{ServiceExt, service_fn};

const VM: &str = "vm@example.com";
const OTHER: &str = "other@example.com";

fn account(email: &str) -> Arc<ServiceAccount> {
    ServiceAccount::new(email, vec![], vec!["default".into()]).into()
}

async fn access(credentials: &Credentials, email: &str) -> Result<(String, u64), TokenError> {
    let request = AccessTokenRequest::new(account(email), ["s".to_owned()]);
    let token = credentials.tokens().access.unwrap().oneshot(request).await?;
    Ok((token.token.expose().to_owned(), token.expires_in.as_secs()))
}

async fn identity(credentials: &Credentials, email: &str) -> Result<String, TokenError> {
    let request = IdTokenRequest::new(account(email), "audience");
    Ok(credentials.tokens().id.unwrap().oneshot(request).await?.token.expose().to_owned())
}

fn offline() -> Credentials {
    CredentialSource::default().open().unwrap()
}

fn fixed() -> Credentials {
    CredentialSource::Fixed { access_token: Some("fixed".into()), id_token: None }.open().unwrap()
}

fn given(token: &str, seconds: u64) -> Given {
    Given { access_token: Some(AccessToken::new(token, Duration::from_secs(seconds))), ..Given::default() }
}

fn given_id(token: &str) -> Given {
    Given { id_token: Some(IdToken::new(token)), ..Given::default() }
}

/// An unsigned JWT that expires in so many seconds.
fn jwt(seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{}}}", now + seconds)))
}

#[tokio::test(start_paused = true)]
async fn a_given_access_token_counts_down_then_the_source_answers() {
    let credentials = offline();
    credentials.control().give(VM, given("given", 3600));
    for (seconds, left) in [(100, 3500), (3499, 1)] {
        advance(Duration::from_secs(seconds)).await;
        assert_eq!(access(&credentials, VM).await.unwrap(), ("given".into(), left));
    }
    advance(Duration::from_secs(1)).await;
    assert!(access(&credentials, VM).await.unwrap().0.starts_with("ya29."));
    assert_eq!(credentials.control().status(VM).access.given, None);
}

#[tokio::test(start_paused = true)]
async fn requests_are_unavailable_after_a_given_token_until_the_account_is_cleared() {
    let credentials = offline();
    credentials.control().give(VM, Given { then: Then::Unavailable, ..given("given", 60) });
    assert_eq!(access(&credentials, VM).await.unwrap().0, "given");
    advance(Duration::from_secs(60)).await;
    for _ in 0..2 {
        let error = access(&credentials, VM).await.unwrap_err();
        let expected = "token source unavailable: the token that was given at run time has expired";
        assert_eq!(error.to_string(), expected);
    }
    let status = credentials.control().status(VM).access.given.unwrap();
    assert_eq!((status.expires_in, status.then), (Some(Duration::ZERO), Then::Unavailable));
    assert!(access(&credentials, OTHER).await.is_ok());
    credentials.control().clear(VM);
    assert!(access(&credentials, VM).await.unwrap().0.starts_with("ya29."));
}

#[tokio::test(start_paused = true)]
async fn a_given_identity_token_ends_at_its_exp_claim() {
    let credentials = fixed();
    let token = jwt(1000);
    credentials.control().give(VM, Given { then: Then::Unavailable, ..given_id(&token) });
    assert_eq!(identity(&credentials, VM).await.unwrap(), token);
    let expires_in = credentials.control().status(VM).id.given.unwrap().expires_in.unwrap();
    assert!((900..=1000).contains(&expires_in.as_secs()), "{expires_in:?}");
    advance(Duration::from_secs(1000)).await;
    assert!(matches!(identity(&credentials, VM).await, Err(TokenError::Unavailable { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_given_identity_token_without_a_readable_exp_claim_never_ends() {
    let credentials = fixed();
    for token in ["not a token", "e30.e30.", &format!("e30.{}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"exp":"soon"}"#))] {
        credentials.control().give(VM, given_id(token));
        advance(Duration::from_secs(100 * 365 * 86400)).await;
        assert_eq!(identity(&credentials, VM).await.unwrap(), token);
        assert_eq!(credentials.control().status(VM).id.given.unwrap().expires_in, None);
    }
}

#[tokio::test(start_paused = true)]
async fn given_tokens_replace_those_given_before() {
    let credentials = fixed();
    credentials.control().give(VM, Given { id_token: Some(IdToken::new("id")), ..given("first", 60) });
    assert_eq!(
        (access(&credentials, VM).await.unwrap().0, identity(&credentials, VM).await.unwrap()),
        ("first".into(), "id".into())
    );
    credentials.control().give(VM, given("second", 60));
    assert_eq!(access(&credentials, VM).await.unwrap().0, "second");
    assert!(matches!(identity(&credentials, VM).await, Err(TokenError::NoSource { .. })));
    credentials.control().give(VM, Given::default());
    assert_eq!(access(&credentials, VM).await.unwrap().0, "fixed");
}

#[tokio::test(start_paused = true)]
async fn accounts_are_independent() {
    let credentials = offline();
    let control = credentials.control();
    control.give(VM, given("vm", 60));
    control.give(OTHER, given("other", 30));
    control.give("unknown@example.com", given("unknown", 30));
    assert_eq!(access(&credentials, VM).await.unwrap().0, "vm");
    assert_eq!(access(&credentials, OTHER).await.unwrap().0, "other");
    control.clear(VM);
    assert_ne!(access(&credentials, VM).await.unwrap().0, "vm");
    assert_eq!(access(&credentials, OTHER).await.unwrap().0, "other");
    control.clear_all();
    assert_ne!(access(&credentials, OTHER).await.unwrap().0, "other");
    assert!(control.overrides.is_empty());
}

#[tokio::test(start_paused = true)]
async fn given_tokens_replace_those_of_every_source_without_a_cache() {
    let none = Credentials::from_services(TokenSources::default(), &(Arc::new(()) as _));
    assert!(matches!(access(&none, VM).await, Err(TokenError::NoSource { .. })));
    let own = service_fn(async |_: AccessTokenRequest| Ok(AccessToken::new("own", Duration::from_secs(1000))));
    let own = Credentials::from_services(TokenSources::default().with_access(own), &(Arc::new(()) as _));
    for (credentials, after) in [(none, None), (own, Some("own")), (fixed(), Some("fixed"))] {
        credentials.control().give(VM, Given { id_token: Some(IdToken::new("id")), ..given("given", 60) });
        assert_eq!(access(&credentials, VM).await.unwrap().0, "given");
        assert_eq!(identity(&credentials, VM).await.unwrap(), "id");
        advance(Duration::from_secs(60)).await;
        assert_eq!(access(&credentials, VM).await.ok().map(|(token, _)| token).as_deref(), after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_token_beside_a_source_is_overridden_too() {
    let source = Box::new(CredentialSource::default());
    let beside = CredentialSource::FixedBeside { access_token: Some("fixed".into()), id_token: None, source };
    let credentials = beside.open().unwrap();
    let control = credentials.control();
    assert_eq!(access(&credentials, VM).await.unwrap(), ("fixed".into(), 3600));
    control.behave(VM, Behaviour { lifetime: Some(Duration::from_secs(60)), skew: Some(5), reuse: None }).unwrap();
    assert_eq!(access(&credentials, VM).await.unwrap(), ("fixed".into(), 3600), "only the issuer has a behaviour");
    control.give(VM, Given { id_token: Some(IdToken::new("id")), ..given("given", 60) });
    assert_eq!(access(&credentials, VM).await.unwrap().0, "given");
    assert_eq!(identity(&credentials, VM).await.unwrap(), "id");
    control.clear(VM);
    assert_eq!(access(&credentials, VM).await.unwrap().0, "fixed");
}

/// Collects the outcomes of requests and fetches.
#[derive(Default)]
struct Events(Mutex<Vec<String>>);

impl Events {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, event: &str, outcome: &TokenOutcome<'_>) {
        let result = if outcome.error.is_some() { "failed" } else { "ok" };
        let event = format!("{event} {} of {}: {result}", outcome.kind, outcome.account);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl TokenEvents for Events {
    fn requested(&self, outcome: &TokenOutcome<'_>) {
        self.add("requested", outcome);
    }

    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        self.add("fetched", outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn given_tokens_are_recorded_as_requests_but_not_as_fetches() {
    let events = Arc::new(Events::default());
    let credentials = CredentialSource::default().open_with(events.clone(), None).unwrap();
    credentials.control().give(VM, Given { then: Then::Unavailable, ..given("given", 60) });
    access(&credentials, VM).await.unwrap();
    assert_eq!(events.take(), ["requested access of vm@example.com: ok"]);
    advance(Duration::from_secs(60)).await;
    access(&credentials, VM).await.unwrap_err();
    assert_eq!(events.take(), ["requested access of vm@example.com: failed"]);
    assert_eq!(credentials.control().status(VM).access.last_error, None, "the source did not fail");
    assert!(credentials.info().health().is_ready(|_| true));
}

#[tokio::test(start_paused = true)]
async fn rotation_makes_the_next_answer_a_new_token() {
    let credentials = offline();
    let (first, _) = access(&credentials, VM).await.unwrap();
    let (other, _) = access(&credentials, OTHER).await.unwrap();
    assert_eq!(access(&credentials, VM).await.unwrap().0, first);
    credentials.control().rotate(VM);
    let (second, _) = access(&credentials, VM).await.unwrap();
    assert_ne!(second, first);
    assert_eq!(access(&credentials, VM).await.unwrap().0, second, "the new token is cached");
    assert_eq!(access(&credentials, OTHER).await.unwrap().0, other);
}

#[tokio::test]
async fn a_rotated_identity_token_differs_within_the_same_second() {
    let credentials = offline();
    let mut tokens = std::collections::BTreeSet::new();
    for _ in 0..3 {
        tokens.insert(identity(&credentials, VM).await.unwrap());
        credentials.control().rotate(VM);
    }
    assert_eq!(tokens.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_given_token_survives_rotation() {
    let credentials = offline();
    credentials.control().give(VM, given("given", 60));
    credentials.control().rotate(VM);
    assert_eq!(access(&credentials, VM).await.unwrap().0, "given");
}

#[tokio::test(start_paused = true)]
async fn the_status_lists_cached_tokens_and_never_shows_a_token() {
    let credentials = offline();
    let control = credentials.control();
    for scopes in [&["b"][..], &["a", "b"]] {
        let scopes: Vec<_> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let request = AccessTokenRequest::new(account(VM), scopes);
        credentials.tokens().access.unwrap().oneshot(request).await.unwrap();
    }
    let token = identity(&credentials, VM).await.unwrap();
    control.give(VM, Given { then: Then::Unavailable, ..given("ya29.hidden", 3600) });
    advance(Duration::from_secs(100)).await;
    control.behave(OTHER, Behaviour { reuse: Some(false), ..Behaviour::default() }).unwrap();

    let status = control.status(VM);
    assert_eq!((&*status.account, status.source, status.behaviour), (VM, "Offline", None));
    let cached: Vec<_> = status.access.cached.iter().map(|it| (it.scopes.join(" "), it.expires_in.as_secs())).collect();
    assert_eq!(cached, [("a b".to_owned(), 3500), ("b".to_owned(), 3500)]);
    let given = GivenStatus { expires_in: Some(Duration::from_secs(3500)), then: Then::Unavailable };
    assert_eq!((status.access.given, &status.access.last_error), (Some(given), &None));
    let [id] = &*status.id.cached else { panic!("{status:?}") };
    assert_eq!((&*id.audience, id.format, status.id.given), ("audience", IdTokenFormat::Standard, None));
    assert!((3400..=3500).contains(&id.expires_in.as_secs()));

    let other = control.status(OTHER);
    assert!(other.access.cached.is_empty() && other.access.given.is_none());
    assert_eq!(other.behaviour, Some(Behaviour { reuse: Some(false), ..Behaviour::default() }));

    let shown = format!("{status:?} {control:?} {credentials:?} {:?} {:?}", control.overrides, given_id("ya29.hidden"));
    let shown = format!("{shown} {:?}", super::tests::given("ya29.hidden", 1));
    assert!(!shown.contains("ya29") && !shown.contains(&token), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn the_status_has_the_last_error_of_each_kind() {
    let fails = service_fn(async |_: AccessTokenRequest| {
        Err::<AccessToken, _>(TokenError::Refused { reason: "the account is disabled".into() })
    });
    let credentials = Credentials::from_services(TokenSources::default().with_access(fails), &(Arc::new(()) as _));
    assert_eq!(credentials.control().status(VM).access.last_error, None);
    access(&credentials, VM).await.unwrap_err();
    let status = credentials.control().status(VM);
    assert_eq!(status.access.last_error.as_deref(), Some("token refused: the account is disabled"));
    assert_eq!((status.source, status.id.last_error), ("Given", None));
    assert_eq!(credentials.control().status(OTHER).access.last_error, None);
}
