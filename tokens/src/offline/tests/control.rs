//! Tests of run-time control over the endpoints of the offline issuer.

use super::*;
use crate::{Behaviour, Given, IdTokenFormat, Then};
use std::collections::HashSet;

const ACCOUNT: &str = "vm@example.com";
const TOKEN: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const IDENTITY: &str = "/computeMetadata/v1/instance/service-accounts/default/identity?audience=a";

#[tokio::test]
async fn identity_tokens_without_reuse_differ_and_verify() {
    let issuer = Issuer::new(OfflineOptions::default());
    let behaviour = Behaviour { lifetime: Some(Duration::from_secs(90)), reuse: Some(false), ..Behaviour::default() };
    issuer.control.behave(ACCOUNT, behaviour).unwrap();
    let mut tokens = HashSet::new();
    for _ in 0..5 {
        let (_, _, token) = issuer.get(IDENTITY).await;
        let claims = issuer.verified(&token).await;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let (exp, iat) = (claims["exp"].as_u64().unwrap(), claims["iat"].as_u64().unwrap());
        assert!((now..=now + 90).contains(&exp) && (90..95).contains(&(exp - iat)), "{claims} at {now}");
        tokens.insert(token);
    }
    assert_eq!(tokens.len(), 5);
    issuer.control.clear(ACCOUNT);
    assert_eq!(issuer.get(IDENTITY).await, issuer.get(IDENTITY).await);
}

#[tokio::test]
async fn a_rotated_identity_token_is_new_and_verifies() {
    let issuer = Issuer::new(OfflineOptions::default());
    let (_, _, first) = issuer.get(&format!("{IDENTITY}&format=full&licenses=TRUE")).await;
    let cached = issuer.control.status(ACCOUNT).id.cached;
    assert_eq!((&*cached[0].audience, cached[0].format), ("a", IdTokenFormat::FullWithLicenses));
    issuer.control.rotate(ACCOUNT);
    let (_, _, second) = issuer.get(&format!("{IDENTITY}&format=full&licenses=TRUE")).await;
    assert_ne!(first, second);
    for token in [first, second] {
        issuer.verified(&token).await;
    }
}

#[tokio::test]
async fn endpoints_answer_given_tokens_and_then_503() {
    let issuer = Issuer::new(OfflineOptions::default());
    let given = Given {
        access_token: Some(AccessToken::new("ya29.given", Duration::from_secs(3600))),
        id_token: Some(IdToken::new("given")),
        then: Then::Unavailable,
    };
    issuer.control.give(ACCOUNT, given.clone());
    assert_eq!(issuer.json(TOKEN).await["access_token"], "ya29.given");
    assert_eq!(issuer.get(IDENTITY).await, (200, "text/html".into(), "given".into()));
    let ended = Some(AccessToken::new("ya29.given", Duration::ZERO));
    issuer.control.give(ACCOUNT, Given { access_token: ended, ..given });
    assert_eq!(issuer.get(TOKEN).await.0, 503);
    assert_eq!(issuer.get(&TOKEN.replace("default", "other@example.com")).await.0, 200);
}

#[tokio::test]
async fn a_skew_is_part_of_expires_in() {
    let issuer = Issuer::new(OfflineOptions::default());
    issuer.control.behave(ACCOUNT, Behaviour { skew: Some(-4000), ..Behaviour::default() }).unwrap();
    assert_eq!(issuer.json(TOKEN).await["expires_in"], 1);
}
