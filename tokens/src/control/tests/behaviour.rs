//! Tests of the behaviour of the offline issuer.

use super::*;
use std::collections::HashSet;

fn behave(credentials: &Credentials, behaviour: Behaviour) {
    credentials.control().behave(VM, behaviour).unwrap();
}

fn lifetime(seconds: u64) -> Behaviour {
    Behaviour { lifetime: Some(Duration::from_secs(seconds)), ..Behaviour::default() }
}

fn skew(seconds: i64) -> Behaviour {
    Behaviour { skew: Some(seconds), ..Behaviour::default() }
}

/// `exp` - `iat`.
fn id_lifetime(token: &str) -> u64 {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_applies_to_the_next_token_of_each_kind() {
    let credentials = offline();
    let (cached, _) = access(&credentials, VM).await.unwrap();
    assert_eq!(id_lifetime(&identity(&credentials, VM).await.unwrap()), 3600);
    behave(&credentials, lifetime(30));
    let (token, expires_in) = access(&credentials, VM).await.unwrap();
    assert_eq!((token != cached, expires_in), (true, 30));
    // A second token of the same second has an earlier `iat`.
    assert!([30, 31].contains(&id_lifetime(&identity(&credentials, VM).await.unwrap())));
    assert_eq!(access(&credentials, OTHER).await.unwrap().1, 3600);
    advance(Duration::from_secs(20)).await;
    assert_eq!(access(&credentials, VM).await.unwrap(), (token.clone(), 10));
    advance(Duration::from_secs(10)).await;
    let (next, expires_in) = access(&credentials, VM).await.unwrap();
    assert_eq!((next != token, expires_in), (true, 30));
    // Back to the default: no token with the short lifetime is served.
    behave(&credentials, Behaviour::default());
    assert_eq!(access(&credentials, VM).await.unwrap().1, 3600);
}

#[tokio::test(start_paused = true)]
async fn cleared_tokens_have_the_default_lifetime() {
    let credentials = offline();
    behave(&credentials, lifetime(30));
    access(&credentials, VM).await.unwrap();
    credentials.control().clear_all();
    assert_eq!(access(&credentials, VM).await.unwrap().1, 3600);
}

#[tokio::test(start_paused = true)]
async fn a_skew_changes_the_reported_expiry_only() {
    let credentials = offline();
    behave(&credentials, skew(-300));
    let (token, expires_in) = access(&credentials, VM).await.unwrap();
    assert_eq!(expires_in, 3300);
    advance(Duration::from_secs(3299)).await;
    assert_eq!(access(&credentials, VM).await.unwrap(), (token.clone(), 1));
    let status = credentials.control().status(VM);
    assert_eq!(status.access.cached[0].expires_in.as_secs(), 301, "the remaining lifetime");
    advance(Duration::from_secs(1)).await;
    assert_ne!(access(&credentials, VM).await.unwrap().0, token);

    behave(&credentials, Behaviour { skew: Some(300), ..lifetime(30) });
    let (token, expires_in) = access(&credentials, VM).await.unwrap();
    assert_eq!(expires_in, 330);
    advance(Duration::from_secs(29)).await;
    assert_ne!(access(&credentials, VM).await.unwrap().0, token, "the token ends before its reported expiry");
    assert_eq!(id_lifetime(&identity(&credentials, VM).await.unwrap()), 30, "an identity token has no skew");
}

#[test]
fn the_reported_expiry_is_at_least_a_second() {
    let reported = |seconds, left| skew(seconds).reported(Duration::from_secs(left)).as_secs();
    assert_eq!([reported(-300, 30), reported(-30, 30), reported(-29, 30)], [1, 1, 1]);
    assert_eq!([reported(i64::MIN, 30), reported(0, 30), reported(1, 30)], [1, 30, 31]);
    assert_eq!(reported(i64::MAX, 30), i64::MAX as u64 + 30);
}

#[tokio::test(start_paused = true)]
async fn without_reuse_each_request_gets_a_new_token() {
    let credentials = offline();
    access(&credentials, VM).await.unwrap();
    behave(&credentials, Behaviour { reuse: Some(false), ..lifetime(60) });
    let all = futures_util::future::join_all((0..100).map(|_| access(&credentials, VM))).await;
    let different: HashSet<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(different.len(), 100);
    assert!(different.iter().all(|(_, expires_in)| *expires_in == 60));
    let all = futures_util::future::join_all((0..10).map(|_| identity(&credentials, VM))).await;
    assert_eq!(all.into_iter().map(Result::unwrap).collect::<HashSet<_>>().len(), 10);
    let status = credentials.control().status(VM);
    assert!(status.access.cached.is_empty() && status.id.cached.is_empty());

    behave(&credentials, Behaviour { reuse: Some(true), ..Behaviour::default() });
    assert_eq!(access(&credentials, VM).await.unwrap().0, access(&credentials, VM).await.unwrap().0);
}

#[tokio::test(start_paused = true)]
async fn tokens_without_reuse_are_recorded_as_fetches() {
    let events = Arc::new(Events::default());
    let credentials = CredentialSource::default().open_with(events.clone(), None).unwrap();
    behave(&credentials, Behaviour { reuse: Some(false), ..Behaviour::default() });
    for _ in 0..2 {
        access(&credentials, VM).await.unwrap();
        assert_eq!(events.take(), ["fetched access of vm@example.com: ok", "requested access of vm@example.com: ok"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_given_token_comes_before_the_behaviour() {
    let credentials = offline();
    behave(&credentials, Behaviour { skew: Some(5), ..lifetime(30) });
    credentials.control().give(VM, given("given", 60));
    assert_eq!(access(&credentials, VM).await.unwrap().0, "given");
    advance(Duration::from_secs(60)).await;
    assert_eq!(access(&credentials, VM).await.unwrap().1, 35);
}

#[tokio::test(start_paused = true)]
async fn only_the_offline_issuer_has_a_behaviour() {
    let own = Credentials::from_services(TokenSources::default(), &(Arc::new(()) as _));
    for (credentials, source) in [(fixed(), "Static"), (own, "Given")] {
        let error = credentials.control().behave(VM, lifetime(30)).unwrap_err();
        assert_eq!(error, ControlError::NotOffline { source_type: source });
        assert!(error.to_string().contains(source), "{error}");
        assert_eq!(credentials.control().status(VM).behaviour, None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_is_from_one_second_to_twelve_hours() {
    let credentials = offline();
    for millis in [0, 999, 12 * 3_600_000 + 1] {
        let refused = Duration::from_millis(millis);
        let behaviour = Behaviour { lifetime: Some(refused), ..Behaviour::default() };
        let error = credentials.control().behave(VM, behaviour).unwrap_err();
        assert_eq!(error, ControlError::Lifetime { lifetime: refused });
    }
    assert_eq!(credentials.control().status(VM).behaviour, None, "a refused behaviour changes nothing");
    for seconds in [1, 12 * 3600] {
        behave(&credentials, lifetime(seconds));
        assert_eq!(access(&credentials, VM).await.unwrap().1, seconds);
    }
}
