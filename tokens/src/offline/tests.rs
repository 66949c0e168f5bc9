//! Tests of the offline issuer. jwt-simple, an independent implementation, verifies every identity token.

mod control;

use super::*;
use crate::CredentialSource;
use crate::events::{TokenEvents, TokenOutcome};
use gce_metadata_layers::{Connection, RenderLayer, RequestHead};
use gce_metadata_routes::token::InstanceClaims;
use gce_metadata_routes::{Metadata, Publisher, Router};
use http::Request;
use jwt_simple::prelude::{NoCustomClaims, RS256PublicKey, RSAPublicKeyLike, Token};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use tower::Layer;
use tower::ServiceExt;

fn metadata() -> Metadata {
    Metadata::from_json(json!({
        "instance": {
            "id": 18446744073709551615_u64, "name": "vm-1", "zone": "projects/123456789012/zones/us-central1-a",
            "licenses": [{"id": "1000"}, {"id": "2000"}],
            "serviceAccounts": {
                "default": {"aliases": ["default"], "email": "vm@example.com", "scopes": ["a", "b"]},
                "other@example.com": {"aliases": [], "email": "other@example.com", "scopes": ["a"]},
            },
        },
        "project": {"numericProjectId": 123456789012_u64, "projectId": "sample-project"},
    }))
    .unwrap()
}

/// A router that serves the offline issuer's tokens.
struct Issuer {
    router: Router,
    control: TokenControl,
    _publisher: Publisher,
}

impl Issuer {
    fn new(options: OfflineOptions) -> Self {
        let publisher = Publisher::new(metadata().tree());
        let Credentials { tokens, control, routes, .. } = open(options, Arc::new(()), None).unwrap();
        let router = routes.into_iter().fold(Router::new(publisher.clone(), tokens), |router, (path, endpoint)| {
            router.with_route(path, endpoint).unwrap()
        });
        Self { router, control, _publisher: publisher }
    }

    async fn get(&self, uri: &str) -> (u16, String, String) {
        self.get_over(Connection::default(), uri).await
    }

    async fn get_over(&self, connection: Connection, uri: &str) -> (u16, String, String) {
        let service = RenderLayer::<bytes::Bytes>::new().layer(self.router.clone());
        let request = Request::get(uri).header("host", "127.0.0.1:8080").extension(connection);
        let request = request.body(String::new()).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), content_type, String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    async fn json(&self, uri: &str) -> Value {
        let (status, content_type, body) = self.get(uri).await;
        assert_eq!((status, &*content_type), (200, "application/json"), "{uri}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    async fn identity(&self, account: &str, query: &str) -> Value {
        let uri = format!("/computeMetadata/v1/instance/service-accounts/{account}/identity?{query}");
        let (status, content_type, token) = self.get(&uri).await;
        assert_eq!((status, &*content_type), (200, "text/html"), "{token}");
        self.verified(&token).await
    }

    /// The claims of a token, after jwt-simple has verified it with the key of the JWKS.
    async fn verified(&self, token: &str) -> Value {
        let jwks = self.json("/oauth2/v3/certs").await;
        let key = &jwks["keys"][0];
        let metadata = Token::decode_metadata(token).unwrap();
        assert_eq!(metadata.algorithm(), "RS256");
        assert_eq!(metadata.signature_type(), Some("JWT"));
        assert_eq!(metadata.key_id(), key["kid"].as_str());
        let component = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
        let public = RS256PublicKey::from_components(&component("n"), &component("e")).unwrap();
        public.verify_token::<NoCustomClaims>(token, None).unwrap();
        let claims = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    }
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn credentials_include_the_routes_of_the_public_keys() {
    let credentials = CredentialSource::default().open().unwrap();
    let paths: Vec<_> = credentials.routes().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["/.well-known/openid-configuration", "/oauth2/v3/certs", "/oauth2/v1/certs"]);
    // Returns at once: the offline issuer needs no supervision.
    credentials.supervise(Publisher::new(Metadata::sample().tree()).reader()).await;
}

#[tokio::test]
async fn a_standard_token_has_exactly_the_claims_of_gce() {
    let issuer = Issuer::new(OfflineOptions::default());
    for query in [
        "audience=https://service.example.com",
        "audience=https%3A%2F%2Fservice.example.com&format=standard&licenses=TRUE",
    ] {
        let claims = issuer.identity("default", query).await;
        assert_eq!(keys(&claims), ["aud", "azp", "exp", "iat", "iss", "sub"]);
        assert_eq!(claims["aud"], "https://service.example.com");
        assert_eq!(claims["iss"], "https://accounts.google.com");
        assert_eq!(claims["azp"], claims["sub"]);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3600);
    }
}

#[tokio::test]
async fn a_full_token_has_the_claims_of_the_instance() {
    let issuer = Issuer::new(OfflineOptions::default());
    let claims = issuer.identity("vm@example.com", "audience=a&format=full").await;
    assert_eq!(keys(&claims), ["aud", "azp", "email", "email_verified", "exp", "google", "iat", "iss", "sub"]);
    assert_eq!((&claims["email"], &claims["email_verified"]), (&json!("vm@example.com"), &json!(true)));
    let engine = &claims["google"]["compute_engine"];
    assert!(engine["instance_creation_timestamp"].as_u64().unwrap() > 1_700_000_000);
    let mut engine = engine.clone();
    engine.as_object_mut().unwrap().remove("instance_creation_timestamp");
    let mut expected = json!({
        "instance_id": "18446744073709551615", "instance_name": "vm-1", "project_id": "sample-project",
        "project_number": 123456789012_u64, "zone": "us-central1-a",
    });
    assert_eq!(engine, expected);

    let claims = issuer.identity("default", "audience=a&format=full&licenses=TRUE").await;
    let mut engine = claims["google"]["compute_engine"].clone();
    engine.as_object_mut().unwrap().remove("instance_creation_timestamp");
    expected["license_id"] = json!(["1000", "2000"]);
    assert_eq!(engine, expected);
}

#[test]
fn claims_are_in_alphabetical_order() {
    let account = metadata().tree().service_account("default").unwrap();
    let mut instance = InstanceClaims::default();
    instance.license_ids = Some(vec!["1".into()]);
    let mut request = IdTokenRequest::new(account, "a");
    request.instance = Some(instance);
    let claims = Claims::new(&request, "i", SystemTime::UNIX_EPOCH, Duration::from_secs(60));
    let written = serde_json::to_string(&claims).unwrap();
    assert_eq!(written, serde_json::from_str::<Value>(&written).unwrap().to_string());
}

/// Counts fetches.
#[derive(Default)]
struct Fetches(AtomicU64);

impl TokenEvents for Fetches {
    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        assert_eq!((outcome.account, outcome.kind, outcome.source), ("vm@example.com", "identity", "offline"));
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts fetches, because tokens that were signed twice within the same second are equal.
#[tokio::test(start_paused = true)]
async fn identity_tokens_are_cached_until_five_minutes_are_left() {
    let options = OfflineOptions { key: Some(PemSigner::generate().unwrap()), ..OfflineOptions::default() };
    let fetches = Arc::new(Fetches::default());
    let Credentials { tokens, info, .. } = open(options, fetches.clone(), None).unwrap();
    let account = metadata().tree().service_account("default").unwrap();
    let ask = async |audience: &str| {
        let request = IdTokenRequest::new(Arc::clone(&account), audience);
        tokens.id.clone().unwrap().oneshot(request).await.unwrap().token
    };
    let made = || fetches.0.load(Ordering::Relaxed);
    let first = ask("a").await;
    assert_eq!((ask("a").await, made()), (first, 1));
    ask("b").await;
    assert_eq!(made(), 2);
    tokio::time::advance(Duration::from_secs(3290)).await;
    ask("a").await;
    assert_eq!((made(), info.hits.count()), (2, 2));
    tokio::time::advance(Duration::from_secs(11)).await;
    ask("a").await;
    assert_eq!(made(), 3);
}

#[tokio::test]
async fn a_changed_instance_gets_a_new_full_token() {
    let issuer = Issuer::new(OfflineOptions::default());
    for name in ["vm-1", "vm-2"] {
        issuer._publisher.set("instance/name", name).unwrap();
        let claims = issuer.identity("default", "audience=a&format=full").await;
        assert_eq!(claims["google"]["compute_engine"]["instance_name"], name);
    }
}

#[tokio::test]
async fn a_request_without_an_audience_or_for_an_unknown_account_is_refused() {
    let issuer = Issuer::new(OfflineOptions::default());
    let identity = "/computeMetadata/v1/instance/service-accounts/default/identity";
    for query in ["", "?audience=", "?format=full"] {
        let answer = issuer.get(&format!("{identity}{query}")).await;
        assert_eq!(answer, (400, "text/html".into(), "non-empty audience parameter required".into()));
    }
    assert_eq!(issuer.get(&identity.replace("default", "nobody@example.com")).await.0, 404);
    assert_eq!(issuer.get(&format!("{identity}/?audience=a")).await.0, 404);
    assert_eq!(issuer.get(&format!("{identity}?audience=a&wait_for_change=true")).await.0, 400);
    let (_, content_type, quoted) = issuer.get(&format!("{identity}?audience=a&alt=json")).await;
    assert_eq!(content_type, "application/json");
    issuer.verified(quoted.trim_matches('"')).await;
}

#[tokio::test]
async fn key_issuer_and_lifetime_of_the_options_are_used() {
    let key = PemSigner::generate().unwrap();
    let options = OfflineOptions {
        issuer: "https://issuer.example.com".into(),
        token_lifetime: Duration::from_secs(60),
        key: Some(key.clone()),
        generate_key_at_start: false,
    };
    let issuer = Issuer::new(options);
    let claims = issuer.identity("default", "audience=a").await;
    assert_eq!(claims["iss"], "https://issuer.example.com");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert_eq!(issuer.json("/oauth2/v3/certs").await["keys"][0]["kid"], *key.info().key_id);
    let configuration = issuer.json("/.well-known/openid-configuration").await;
    assert_eq!(configuration["issuer"], "https://issuer.example.com");
    assert_eq!(configuration["jwks_uri"], "https://issuer.example.com/oauth2/v3/certs");
    let token = issuer.json("/computeMetadata/v1/instance/service-accounts/default/token").await;
    assert_eq!(token["expires_in"], 60);
}

#[tokio::test]
async fn with_google_as_issuer_the_jwks_uri_has_the_host_of_the_request() {
    let issuer = Issuer::new(OfflineOptions::default());
    let configuration = issuer.json("/.well-known/openid-configuration").await;
    assert_eq!(configuration["issuer"], "https://accounts.google.com");
    assert_eq!(configuration["jwks_uri"], "http://127.0.0.1:8080/oauth2/v3/certs");
    let encrypted = Connection::default().encrypted();
    let (_, _, configuration) = issuer.get_over(encrypted, "/.well-known/openid-configuration").await;
    assert!(configuration.contains(r#""jwks_uri":"https://127.0.0.1:8080/oauth2/v3/certs""#), "{configuration}");
}

#[tokio::test]
async fn public_keys_may_be_cached_for_five_minutes() {
    let issuer = Issuer::new(OfflineOptions::default());
    for (path, expected) in [
        ("/oauth2/v1/certs", Some("public, max-age=300")),
        ("/oauth2/v3/certs", Some("public, max-age=300")),
        ("/computeMetadata/v1/instance/id", None),
    ] {
        let service = RenderLayer::<bytes::Bytes>::new().layer(issuer.router.clone());
        let answer = service.oneshot(Request::get(path).body(String::new()).unwrap()).await.unwrap();
        let cache_control = answer.headers().get("cache-control").map(|value| value.to_str().unwrap());
        assert_eq!((answer.status().as_u16(), cache_control), (200, expected), "{path}");
        assert_eq!(answer.headers().contains_key("expires"), expected.is_some(), "{path}");
    }
}

#[tokio::test]
async fn the_certificate_contains_the_key_of_the_jwks() {
    use x509_parser::prelude::*;
    let issuer = Issuer::new(OfflineOptions::default());
    let jwks = issuer.json("/oauth2/v3/certs").await;
    let certificates = issuer.json("/oauth2/v1/certs").await;
    assert_eq!(keys(&certificates), [jwks["keys"][0]["kid"].as_str().unwrap()]);
    let pem = certificates.as_object().unwrap().values().next().unwrap().as_str().unwrap();
    let (_, pem) = parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    let x509_parser::public_key::PublicKey::RSA(key) = certificate.public_key().parsed().unwrap() else { panic!() };
    let modulus = BASE64_URL_SAFE_NO_PAD.decode(jwks["keys"][0]["n"].as_str().unwrap()).unwrap();
    assert_eq!(key.modulus.strip_prefix(&[0]).unwrap_or(key.modulus), modulus);
}

#[tokio::test]
async fn access_tokens_are_cached_by_account_and_scopes() {
    let issuer = Issuer::new(OfflineOptions::default());
    let accounts = "/computeMetadata/v1/instance/service-accounts";
    let token = async |query: &str| {
        let (status, content_type, body) = issuer.get(&format!("{accounts}/{query}")).await;
        assert_eq!((status, &*content_type), (200, "application/json"));
        assert!(body.starts_with(r#"{"access_token":"ya29.c."#), "{body}");
        assert!(
            body.ends_with(r#","expires_in":3599,"token_type":"Bearer"}"#)
                || body.ends_with(r#","expires_in":3600,"token_type":"Bearer"}"#),
            "{body}"
        );
        serde_json::from_str::<Value>(&body).unwrap()["access_token"].as_str().unwrap().to_owned()
    };
    let first = token("default/token").await;
    assert_eq!(token("default/token").await, first);
    assert_eq!(token("vm@example.com/token").await, first, "an alias and the e-mail mean the same account");
    assert_eq!(token("default/token?scopes=b,a").await, first, "the requested scopes are all of the account's");
    assert_eq!(token("default/token?scopes=c").await, first, "a scope that the account lacks is ignored");
    assert_eq!(token("default/token?scopes=a,c").await, token("default/token?scopes=a").await);
    let other = token("other@example.com/token").await;
    let narrow = token("default/token?scopes=a").await;
    assert!(first != other && first != narrow && other != narrow);
    let (_, _, text) = issuer.get(&format!("{accounts}/default/token?alt=text")).await;
    let lines: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(lines, ["access_token", "expires_in", "token_type"]);
}

#[tokio::test]
async fn enforced_scopes_must_be_a_subset_of_the_accounts() {
    let issuer = Issuer::new(OfflineOptions::default());
    let token = "/computeMetadata/v1/instance/service-accounts/default/token";
    for (query, status) in [
        ("scopes=a&enforce_scopes=true", 200),
        ("scopes=c&enforce_scopes=yes", 400),
        ("scopes=c", 200),
        ("scopes=c&enforce_scopes=0", 200),
        ("enforce_scopes=perhaps", 400),
        ("wait_for_change=true", 400),
    ] {
        assert_eq!(issuer.get(&format!("{token}?{query}")).await.0, status, "{query}");
    }
    issuer._publisher.set("project/attributes/enable-access-token-enforce-scopes", "true").unwrap();
    for (query, status) in [("scopes=c", 400), ("scopes=a", 200), ("scopes=a&enforce_scopes=false", 400)] {
        assert_eq!(issuer.get(&format!("{token}?{query}")).await.0, status, "{query} with enforcement by default");
    }
}

#[tokio::test]
async fn a_refused_wait_for_change_does_not_call_the_source() {
    let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let source = Arc::clone(&asked);
    let access = gce_metadata_routes::token::AccessTokenSource::new(service_fn(move |_| {
        source.store(true, std::sync::atomic::Ordering::Relaxed);
        std::future::ready(access_token(Duration::from_secs(60)))
    }));
    let publisher = Publisher::new(metadata().tree());
    let router = Router::new(publisher.clone(), TokenSources::default().with_access(access));
    let control = CredentialSource::default().open().unwrap().control;
    let issuer = Issuer { router, control, _publisher: publisher };
    let token = "/computeMetadata/v1/instance/service-accounts/default/token";
    assert_eq!(issuer.get(&format!("{token}?wait_for_change=true")).await.0, 400);
    assert!(!asked.load(std::sync::atomic::Ordering::Relaxed));
    assert_eq!(issuer.get(token).await.0, 200);
    assert!(asked.load(std::sync::atomic::Ordering::Relaxed));
}

#[tokio::test]
async fn the_discovery_document_is_served_without_a_host_header() {
    let request = Request::get("/.well-known/openid-configuration").body(String::new()).unwrap();
    assert_eq!(RequestHead::of(&request).host(), None);
    let issuer = Issuer::new(OfflineOptions::default());
    let service = RenderLayer::<bytes::Bytes>::new().layer(issuer.router.clone());
    let answer = service.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn no_key_is_generated_until_a_request_needs_it() {
    let open = |generate_key_at_start| {
        let options = OfflineOptions { generate_key_at_start, ..OfflineOptions::default() };
        super::open(options, Arc::new(()), None).unwrap()
    };
    let (lazy, early) = (open(false), open(true));
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "a start that fails generates no key");
    let reader = || Publisher::new(Metadata::sample().tree()).reader();
    lazy.supervise(reader()).await;
    tokio::spawn(early.supervise(reader()));
    // By the time that this key is generated, a key of the other one would be too.
    while early.info.spki_sha256().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(lazy.info.spki_sha256(), None);
}
