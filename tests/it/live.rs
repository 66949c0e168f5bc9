//! Live tokens from every token source, against a fake Google that verifies each request as Google does.

mod changes;
mod federation;
mod outages;

use crate::support::google::{self, CLOUD_PLATFORM, Google};
use crate::support::{ask_metrics, get};
use gce_metadata_server::{
    AccessTokenKind, CredentialSource, LiveOptions, LiveSource, Metadata, Server, ServerBuilder, StartError,
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tempfile::TempDir;

const EMAIL: &str = "live@sample-project.iam.gserviceaccount.com";
const OTHER: &str = "other@sample-project.iam.gserviceaccount.com";
const READ_ONLY: &str = "https://www.googleapis.com/auth/devstorage.read_only";

/// Replaces a file atomically, so that a running server sees one change.
fn file(folder: &TempDir, name: &str, json: &Value) -> PathBuf {
    let (path, new) = (folder.path().join(name), folder.path().join("new"));
    std::fs::write(&new, json.to_string()).unwrap();
    std::fs::rename(new, &path).unwrap();
    path
}

fn accounts() -> Metadata {
    let json = json!({
        "project": {"projectId": "sample-project"},
        "instance": {"serviceAccounts": {
            "default": {"email": EMAIL, "scopes": [CLOUD_PLATFORM, READ_ONLY]},
            OTHER: {"scopes": [CLOUD_PLATFORM]},
        }},
    });
    Metadata::from_json(json).unwrap()
}

fn builder(google: &Google, source: LiveSource, change: impl FnOnce(&mut LiveOptions)) -> ServerBuilder {
    let mut options = LiveOptions::new(source);
    options.endpoints.iam_url = Some(google.url.clone());
    change(&mut options);
    let builder = Server::builder().metadata(accounts()).credentials(CredentialSource::from(options));
    builder.metrics((Ipv4Addr::LOCALHOST, 0), "/metrics")
}

async fn server(google: &Google, source: LiveSource) -> Server {
    builder(google, source, |_| {}).start().await.unwrap()
}

fn key(path: PathBuf) -> LiveSource {
    LiveSource::Key { path, email: None }
}

async fn status(server: &Server, path: &str) -> u16 {
    get(server, &format!("instance/service-accounts/{path}")).await.status.as_u16()
}

/// Asks the server for an access token; returns its owner and scopes as verified by the fake API.
async fn access(server: &Server, google: &Google, path: &str) -> (String, String) {
    let answer = get(server, &format!("instance/service-accounts/{path}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let json = answer.json();
    assert!((3000..=3600).contains(&json["expires_in"].as_u64().unwrap()), "{}", json["expires_in"]);
    google.api(json["access_token"].as_str().unwrap()).unwrap()
}

async fn identity(server: &Server, google: &Google, account: &str) -> (String, String) {
    let answer =
        get(server, &format!("instance/service-accounts/{account}/identity?audience=https://a.example.com")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    google.id_token(&answer.body)
}

fn joined(scopes: &[&str]) -> String {
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.join(" ")
}

#[tokio::test]
async fn a_service_account_key_is_exchanged_for_tokens_of_its_account() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let all = joined(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, (EMAIL.to_owned(), all));
    let fewer = access(&server, &google, &format!("default/token?scopes={READ_ONLY}")).await;
    assert_eq!(fewer, (EMAIL.to_owned(), READ_ONLY.to_owned()));
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    // The key serves no other account.
    assert_eq!(status(&server, &format!("{OTHER}/token")).await, 404);
    let metrics = ask_metrics(&server, "/metrics").await.1;
    assert!(metrics.contains(r#"credential_type{type="serviceAccountKey"} 1"#), "{metrics}");
    assert!(metrics.contains("service_account_hash{fingerprint="), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_share_a_single_fetch() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let all = (0..1000).map(|_| status(&server, "default/token"));
    assert!(futures_util::future::join_all(all).await.iter().all(|status| *status == 200));
    assert_eq!(google.asked("/token"), 1);
    for _ in 0..3 {
        identity(&server, &google, "default").await;
    }
    assert_eq!(google.asked("/token"), 2);
}

/// An upstream knows no VM: `format` and `licenses` make no difference, or only add the e-mail.
#[tokio::test]
async fn an_identity_token_is_fetched_once_for_all_formats_that_the_upstream_does_not_distinguish() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let person = file(&folder, "adc.json", &google.user_credentials());
    let generate = format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateIdToken");
    for (source, path, fetches) in [
        (key(file(&folder, "key.json", &google.service_account(EMAIL))), "/token", [1, 1, 1]),
        (LiveSource::Impersonate { path: person }, &*generate, [1, 2, 2]),
    ] {
        let server = server(&google, source).await;
        // Shares the fetch of the probe at start.
        assert_eq!(status(&server, "default/token").await, 200);
        let before = google.asked(path);
        for (format, fetches) in ["", "&format=full", "&format=full&licenses=TRUE"].into_iter().zip(fetches) {
            let target = format!("default/identity?audience=https://a.example.com{format}");
            assert_eq!(status(&server, &target).await, 200);
            assert_eq!(google.asked(path) - before, fetches, "{path} {format}");
        }
    }
}

#[tokio::test]
async fn a_self_signed_token_needs_no_upstream_request() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let source = key(file(&folder, "key.json", &google.service_account(EMAIL)));
    let server =
        builder(&google, source, |it| it.access_token_kind = Some(AccessTokenKind::Jwt)).start().await.unwrap();
    let all = joined(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, (EMAIL.to_owned(), all));
    assert_eq!(google.asked("/token"), 0);
}

#[tokio::test]
async fn a_pem_key_needs_service_account_email() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let path = folder.path().join("key.pem");
    std::fs::write(&path, google.service_account(EMAIL)["private_key"].as_str().unwrap()).unwrap();
    let error = builder(&google, key(path.clone()), |_| {}).start().await.unwrap_err();
    assert!(error.to_string().contains("--service-account-email"), "{error}");
    let source = LiveSource::Key { path, email: Some(EMAIL.into()) };
    let token_url = format!("{}/token", google.url);
    let server = builder(&google, source, |it| it.endpoints.token_url = Some(token_url)).start().await.unwrap();
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
}

#[tokio::test]
async fn service_account_email_must_match_the_json_key() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let path = file(&folder, "key.json", &google.service_account(EMAIL));
    let source = |email: &str| LiveSource::Key { path: path.clone(), email: Some(email.into()) };
    assert!(builder(&google, source(EMAIL), |_| {}).start().await.is_ok());
    let error = builder(&google, source(OTHER), |_| {}).start().await.unwrap_err().to_string();
    assert!(error.contains(&format!("key.json: a key of {EMAIL}, not of {OTHER}")), "{error}");
}

#[tokio::test]
async fn errors_in_a_credentials_list_name_line_column_and_entry() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let pem = folder.path().join("k.pem");
    std::fs::write(&pem, google.service_account(EMAIL)["private_key"].as_str().unwrap()).unwrap();
    let path = folder.path().join("all.json");
    for (text, said) in [
        ("{\n  \"default\": \"k.json\",\n}", "all.json:3:1: trailing comma"),
        ("[\"k.json\"]", "all.json:1:0: an object is expected: a credentials file by the e-mail of each account"),
        ("\n{\"default\": 5}", "all.json:2:13: at default: the path of a credentials file is expected"),
        ("{} {}", "all.json:1:4: trailing characters"),
        ("{\"default\": \"k.pem\"}", "k.pem: a bare key does not name its account: "),
        ("{\"default\": \"k.pem\"}", "its account's e-mail, instead of `default`, "),
    ] {
        std::fs::write(&path, text).unwrap();
        let source = LiveSource::PerAccount { path: path.clone() };
        let error = builder(&google, source, |_| {}).start().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = builder(&google, LiveSource::Impersonate { path: pem }, |_| {}).start().await.unwrap_err().to_string();
    assert!(
        error.contains("a bare key does not name its account") && !error.contains("--service-account-email"),
        "{error}"
    );
}

#[tokio::test]
async fn a_config_without_accounts_gets_the_account_of_the_key() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let source = key(file(&folder, "key.json", &google.service_account(EMAIL)));
    let server = builder(&google, source, |_| {}).metadata(Metadata::empty()).start().await.unwrap();
    assert_eq!(get(&server, "instance/service-accounts/default/email").await.body, EMAIL);
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
}

#[tokio::test]
async fn a_given_access_token_beside_a_key_leaves_identity_tokens_to_the_key() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let other = json!({"default": {"email": EMAIL}, OTHER: {}});
    let metadata = Metadata::from_json(json!({"instance": {"serviceAccounts": other}})).unwrap();
    google.allow_impersonation(OTHER);
    let path = file(&folder, "key.json", &google.service_account(EMAIL));
    let all = file(&folder, "all.json", &json!({EMAIL: "key.json", OTHER: "key.json"}));
    for source in [key(path), LiveSource::PerAccount { path: all }] {
        let is_per_account = matches!(source, LiveSource::PerAccount { .. });
        let server =
            builder(&google, source, |_| {}).metadata(metadata.clone()).access_token("foo").start().await.unwrap();
        let token = get(&server, "instance/service-accounts/default/token").await.json();
        assert_eq!(token["access_token"], "foo");
        assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
        // The other accounts do not get the default account's token.
        if is_per_account {
            assert_eq!(access(&server, &google, &format!("{OTHER}/token")).await.0, EMAIL);
        } else {
            assert_eq!(status(&server, &format!("{OTHER}/token")).await, 404);
        }
    }
}

#[tokio::test]
async fn federate_takes_credentials_of_any_type() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    for (json, used) in [(google.user_credentials(), "person@example.com"), (google.service_account(EMAIL), EMAIL)] {
        let server = server(&google, LiveSource::Federate { path: file(&folder, "adc.json", &json) }).await;
        assert_eq!(access(&server, &google, "default/token").await.0, used);
    }
}

#[tokio::test]
async fn user_credentials_impersonate_the_configs_accounts() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let path = file(&folder, "adc.json", &google.user_credentials());
    let server = server(&google, LiveSource::Impersonate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    // An account that the user may not impersonate is refused, without details.
    let refused = get(&server, &format!("instance/service-accounts/{OTHER}/token")).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body, "the credentials of this service account were refused");
    assert!(ask_metrics(&server, "/metrics").await.1.contains(r#"credential_type{type="Impersonated"} 1"#));
}

#[tokio::test]
async fn impersonated_service_account_credentials_serve_the_account_they_name() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation_by(&["d@example.com", "e@example.com"], EMAIL);
    let own = json!({
        "type": "impersonated_service_account", "source_credentials": google.user_credentials(),
        "service_account_impersonation_url": google.impersonation_url(EMAIL),
        "delegates": ["d@example.com", "projects/-/serviceAccounts/e@example.com"],
    });
    file(&folder, "own.json", &own);
    let path = file(&folder, "all.json", &json!({"default": "own.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    // As on GCE, the claim `email` is in tokens of the full format only.
    for (format, email) in [("standard", Value::Null), ("full", EMAIL.into())] {
        let path = format!("instance/service-accounts/default/identity?audience=b&format={format}");
        assert_eq!(google.id_claims(&get(&server, &path).await.body).custom["email"], email, "{format}");
    }
}

#[tokio::test]
async fn an_account_without_credentials_gets_404() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({OTHER: "other.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    assert_eq!(access(&server, &google, &format!("{OTHER}/token")).await.0, OTHER);
    assert_eq!(status(&server, "default/token").await, 404);
}

#[tokio::test]
async fn errors_about_bad_credentials_name_the_field_and_quote_no_value() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let refused = async |json: Value| {
        let source = key(file(&folder, "key.json", &json));
        let error: StartError = builder(&google, source, |_| {}).start().await.unwrap_err();
        error.to_string()
    };
    let mut wrong = google.service_account(EMAIL);
    wrong["private_key"] = json!({"hidden": "made-up"});
    let error = refused(wrong).await;
    assert!(error.contains("key.json: at private_key: ") && !error.contains("made-up"), "{error}");
    assert!(refused(json!({"type": "service_account"})).await.contains("missing field `client_email`"));
    assert!(refused(google.user_credentials()).await.contains("service_account or a key in PEM is expected"));
    assert!(refused(json!({"type": "made-up"})).await.contains("type: service_account, "));
    assert!(refused(json!("made-up")).await.contains("key.json: a JSON object or a key in PEM is expected"));
}

#[tokio::test]
async fn a_key_of_another_universe_self_signs_access_tokens_and_gets_identity_tokens_from_iam() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let mut json = google.service_account(EMAIL);
    json["universe_domain"] = "sample.example.com".into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(
        access(&server, &google, "default/token").await,
        (EMAIL.to_owned(), joined(&[CLOUD_PLATFORM, READ_ONLY]))
    );
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    assert_eq!(google.asked("/token"), 0);
}

#[tokio::test]
async fn a_pkcs1_key_is_accepted() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let mut json = google.service_account(EMAIL);
    json["private_key"] = google::pkcs1(json["private_key"].as_str().unwrap()).into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
}
