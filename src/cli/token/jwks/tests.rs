//! Tests of the verification, with tokens of a key of jwt-simple.

use super::*;
use jwt_simple::prelude::{Claims, JWTClaims, PS256KeyPair, RS256KeyPair, RSAKeyPairLike, RSAPublicKeyComponents};
use serde_json::json;
use std::sync::LazyLock;

static KEY: LazyLock<RS256KeyPair> = LazyLock::new(|| RS256KeyPair::generate(2048).unwrap().with_key_id("the-key"));
static OTHER: LazyLock<RS256KeyPair> = LazyLock::new(|| RS256KeyPair::generate(2048).unwrap().with_key_id("the-key"));

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// Claims that were issued a minute ago and expire in this number of seconds.
fn claims(expires_in: i64) -> JWTClaims<NoCustomClaims> {
    let at = |offset: i64| Some(Seconds::from_secs(1_790_000_000_u64.saturating_add_signed(offset)));
    let claims = Claims::create(Seconds::from_secs(3600)).with_audience("https://a.example.com");
    JWTClaims { issued_at: at(-60), expires_at: at(expires_in), invalid_before: None, ..claims }
}

fn jwks(keys: &[(&str, RSAPublicKeyComponents)]) -> KeySet {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ", "kid": "the-key"});
    let rsa = keys.iter().map(|(id, key)| json!({"kty": "RSA", "kid": id, "n": encode(&key.n), "e": encode(&key.e)}));
    let keys: Vec<_> = [ec].into_iter().chain(rsa).collect();
    KeySet::from_json(json!({"keys": keys}).to_string().as_bytes()).unwrap()
}

fn own_keys() -> KeySet {
    jwks(&[("another", OTHER.public_key().to_components()), ("the-key", KEY.public_key().to_components())])
}

fn verify(keys: &KeySet, token: &str, audience: Option<&str>) -> Verified {
    keys.verify(token, &Decoded::from_token(token).unwrap(), audience, now())
}

fn valid() -> Verified {
    Verified::Valid(Some("the-key".to_owned()))
}

fn refused(problem: Problem) -> Verified {
    Verified::InvalidClaims(Some("the-key".to_owned()), problem)
}

#[test]
fn a_token_is_valid_until_its_expiry() {
    for (expires_in, expected) in [(3600, valid()), (1, valid()), (-1, refused(Problem::Expired))] {
        assert_eq!(verify(&own_keys(), &KEY.sign(claims(expires_in)).unwrap(), None), expected, "{expires_in}");
    }
}

#[test]
fn the_audience_must_be_that_of_the_option() {
    let token = KEY.sign(claims(60)).unwrap();
    assert_eq!(verify(&own_keys(), &token, Some("https://a.example.com")), valid());
    assert_eq!(verify(&own_keys(), &token, Some("https://b.example.com")), refused(Problem::OtherAudience));
    let without = JWTClaims { audiences: None, ..claims(60) };
    assert_eq!(verify(&own_keys(), &KEY.sign(without).unwrap(), Some("a")), refused(Problem::NoAudience));
}

#[test]
fn a_token_before_its_time_is_refused_and_one_issued_by_a_fast_clock_is_not() {
    let later = Some(Seconds::from_secs(1_790_000_060));
    let early = JWTClaims { invalid_before: later, ..claims(3600) };
    assert_eq!(verify(&own_keys(), &KEY.sign(early).unwrap(), None), refused(Problem::NotYetValid));
    let fast = JWTClaims { issued_at: later, ..claims(3600) };
    assert_eq!(verify(&own_keys(), &KEY.sign(fast).unwrap(), None), valid());
}

fn signature_problem(keys: &KeySet, token: &str) -> String {
    match verify(keys, token, None) {
        Verified::InvalidSignature(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_changed_token_and_another_key_do_not_verify() {
    let token = KEY.sign(claims(60)).unwrap();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let header = head.split('.').next().unwrap();
    let other_claims = BASE64_URL_SAFE_NO_PAD.encode(r#"{"email":"other@example.com"}"#);
    for changed in [format!("{header}.{other_claims}.{signature}"), format!("{head}."), format!("{head}.made-up!")] {
        assert!(signature_problem(&own_keys(), &changed).starts_with("the token was changed"), "{changed}");
    }
    let of_other = OTHER.sign(claims(60)).unwrap();
    assert!(signature_problem(&own_keys(), &of_other).starts_with("the token was changed, or another key"));
    let expired = OTHER.sign(claims(-60)).unwrap();
    assert!(signature_problem(&own_keys(), &expired).starts_with("the token was changed"), "signature first");
}

#[test]
fn a_missing_key_and_other_algorithms_are_named() {
    let keys = jwks(&[("another", KEY.public_key().to_components())]);
    let token = KEY.sign(claims(60)).unwrap();
    assert_eq!(signature_problem(&keys, &token), "there is no RSA key with the ID the-key");
    for (header, name) in [(r#"{"alg":"HS256"}"#, "HS256"), (r#"{"alg":"none"}"#, "none"), ("{}", "none")] {
        let token = format!("{}.e30.", BASE64_URL_SAFE_NO_PAD.encode(header));
        assert!(signature_problem(&own_keys(), &token).starts_with(&format!("the algorithm {name} is not supported")));
    }
    let small = jwks(&[("the-key", RSAPublicKeyComponents { n: vec![0xff; 128], e: vec![1, 0, 1] })]);
    assert!(signature_problem(&small, &token).starts_with("the key can't be used: "));
}

#[test]
fn a_token_without_a_key_id_is_verified_with_each_key() {
    let unnamed = RS256KeyPair::from_der(&KEY.to_der().unwrap()).unwrap();
    assert_eq!(verify(&own_keys(), &unnamed.sign(claims(60)).unwrap(), None), valid());
}

#[test]
fn pss_signatures_of_a_tpm_key_are_verified() {
    let pss = PS256KeyPair::from_der(&KEY.to_der().unwrap()).unwrap().with_key_id("the-key");
    assert_eq!(verify(&own_keys(), &pss.sign(claims(60)).unwrap(), None), valid());
}

#[test]
fn places_are_urls_or_files_and_their_text_has_no_query() {
    for (option, text) in [
        ("http://127.0.0.1:8080/keys?key=made-up", "http://127.0.0.1:8080/keys"),
        ("https://keys.example.com/a/b?key=made-up", "https://keys.example.com/a/b"),
        ("keys/jwks.json", "keys/jwks.json"),
    ] {
        assert_eq!(Place::from_option(option).unwrap().to_string(), text);
    }
    for option in ["https://user:made-up@keys.example.com/", "http://user:made-up@keys.example.com/", "http://"] {
        let error = format!("{:#}", Place::from_option(option).unwrap_err());
        assert!(error.starts_with("--jwks: the URL ") && !error.contains("made-up"), "{error}");
    }
}

#[tokio::test]
async fn other_json_is_not_a_key_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    for text in ["", "[]", r#"{"keys": 1}"#] {
        std::fs::write(&path, text).unwrap();
        let error = Place::File(path.clone()).load().await.unwrap_err().to_string();
        assert!(error.ends_with("jwks.json: not a JSON Web Key Set: an object with `keys` is expected"), "{error}");
    }
}
