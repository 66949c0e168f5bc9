//! Live tokens, from every source, against a server that checks what Google checks.

mod federation;

use crate::support::google::{self, CLOUD_PLATFORM, Google};
use crate::support::{admin, eventually, get};
use gce_metadata_server::routes::token::AccessTokenRequest;
use gce_metadata_server::{
    AccessTokenKind, CredentialSource, Endpoints, LiveOptions, LiveSource, Metadata, Publisher, Server, ServerBuilder,
    StartError,
};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use tempfile::TempDir;
use tower::ServiceExt;

const EMAIL: &str = "live@sample-project.iam.gserviceaccount.com";
const OTHER: &str = "other@sample-project.iam.gserviceaccount.com";
const READ_ONLY: &str = "https://www.googleapis.com/auth/devstorage.read_only";

/// Writes a file all at once: a half of it would be one more change.
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
    options.endpoints = Endpoints { iam_url: Some(google.url.clone()), ..Endpoints::default() };
    change(&mut options);
    let builder = Server::builder().metadata(accounts()).credentials(CredentialSource::from(options));
    builder.admin((Ipv4Addr::LOCALHOST, 0).into(), "/metrics")
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

/// The token's owner and scopes, as the API understands them.
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

fn both(scopes: &[&str]) -> String {
    let mut scopes = scopes.to_vec();
    scopes.sort_unstable();
    scopes.join(" ")
}

#[tokio::test]
async fn a_key_is_exchanged_for_tokens_of_its_account() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let all = both(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, (EMAIL.to_owned(), all));
    let fewer = access(&server, &google, &format!("default/token?scopes={READ_ONLY}")).await;
    assert_eq!(fewer, (EMAIL.to_owned(), READ_ONLY.to_owned()));
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    // One account's key makes nobody else's tokens.
    assert_eq!(status(&server, &format!("{OTHER}/token")).await, 404);
    let metrics = admin(&server, "/metrics").await.1;
    assert!(metrics.contains(r#"credential_type{type="serviceAccountKey"} 1"#), "{metrics}");
    assert!(metrics.contains("service_account_hash{fingerprint="), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_are_one_upstream() {
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

#[tokio::test]
async fn a_self_signed_token_asks_nobody() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let source = key(file(&folder, "key.json", &google.service_account(EMAIL)));
    let server =
        builder(&google, source, |it| it.access_token_kind = Some(AccessTokenKind::Jwt)).start().await.unwrap();
    let all = both(&[CLOUD_PLATFORM, READ_ONLY]);
    assert_eq!(access(&server, &google, "default/token").await, (EMAIL.to_owned(), all));
    assert_eq!(google.asked("/token"), 0);
}

#[tokio::test]
async fn a_bare_key_is_whose_it_is_said_to_be() {
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
async fn a_key_that_says_whose_it_is_is_nobody_elses() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let path = file(&folder, "key.json", &google.service_account(EMAIL));
    let source = |email: &str| LiveSource::Key { path: path.clone(), email: Some(email.into()) };
    assert!(builder(&google, source(EMAIL), |_| {}).start().await.is_ok());
    let error = builder(&google, source(OTHER), |_| {}).start().await.unwrap_err().to_string();
    assert!(error.contains(&format!("key.json: a key of {EMAIL}, not of {OTHER}")), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_a_list_of_credentials_is_said_in_its_place() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let pem = folder.path().join("k.pem");
    std::fs::write(&pem, google.service_account(EMAIL)["private_key"].as_str().unwrap()).unwrap();
    let path = folder.path().join("all.json");
    for (text, said) in [
        ("{\n  \"default\": \"k.json\",\n}", "all.json:3:1: trailing comma"),
        ("[\"k.json\"]", "all.json:1:0: an object is expected: a credentials file by the e-mail of each account"),
        ("\n{\"default\": 5}", "all.json:2:13: at default: the path of a credentials file is expected"),
        ("{} {}", "all.json:1:4: trailing characters"),
        ("{\"default\": \"k.pem\"}", "k.pem: a bare key belongs to nobody: "),
        ("{\"default\": \"k.pem\"}", "its account's e-mail, instead of `default`, "),
    ] {
        std::fs::write(&path, text).unwrap();
        let source = LiveSource::PerAccount { path: path.clone() };
        let error = builder(&google, source, |_| {}).start().await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let error = builder(&google, LiveSource::Impersonate { path: pem }, |_| {}).start().await.unwrap_err().to_string();
    assert!(error.contains("a bare key belongs to nobody") && !error.contains("--service-account-email"), "{error}");
}

#[tokio::test]
async fn a_config_without_accounts_gets_the_keys() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let source = key(file(&folder, "key.json", &google.service_account(EMAIL)));
    let server = builder(&google, source, |_| {}).metadata(Metadata::empty()).start().await.unwrap();
    assert_eq!(get(&server, "instance/service-accounts/default/email").await.body, EMAIL);
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
}

#[tokio::test]
async fn a_new_key_on_disk_is_taken_and_a_broken_one_is_not() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let token = async || get(&server, "instance/service-accounts/default/token").await.json()["access_token"].clone();
    let before = token().await;
    let fingerprint = async || {
        let metrics = admin(&server, "/metrics").await.1;
        metrics.lines().find(|line| line.starts_with("service_account_hash{")).unwrap().to_owned()
    };
    let old = fingerprint().await;
    // The old key is revoked with this: only the new one can make another token.
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the new key is in use", async || fingerprint().await != old).await;
    eventually("a new token", async || token().await != before).await;
    let (served, new) = (token().await, fingerprint().await);
    std::fs::remove_file(folder.path().join("key.json")).unwrap();
    eventually("it is gone", async || reloads(&server, "bad").await >= 1).await;
    file(&folder, "key.json", &json!("made-up"));
    eventually("it is broken", async || reloads(&server, "bad").await >= 2).await;
    file(&folder, "key.json", &google.person());
    eventually("it is no key", async || reloads(&server, "bad").await >= 3).await;
    assert_eq!(token().await, served);
    assert_eq!(access(&server, &google, &format!("default/token?scopes={READ_ONLY}")).await.1, READ_ONLY);
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("it is repaired", async || fingerprint().await != new).await;
    eventually("and counted", async || reloads(&server, "good").await == 2).await;
}

/// How often credentials files changed, for the better or not.
async fn reloads(server: &Server, outcome: &str) -> u64 {
    let series = format!("metadata_credential_reloads_total{{outcome=\"{outcome}\"}} ");
    let metrics = admin(server, "/metrics").await.1;
    metrics.lines().find_map(|line| line.strip_prefix(&*series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_person_acts_as_the_accounts() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
    let path = file(&folder, "adc.json", &google.person());
    let server = server(&google, LiveSource::Impersonate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    // Whom the person may not act as is refused, in a few words.
    let refused = get(&server, &format!("instance/service-accounts/{OTHER}/token")).await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body, "the credentials of this service account were refused");
    assert!(admin(&server, "/metrics").await.1.contains(r#"credential_type{type="Impersonated"} 1"#));
}

#[tokio::test]
async fn impersonated_credentials_name_their_account() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_by(&["d@example.com", "e@example.com"], EMAIL);
    let own = json!({
        "type": "impersonated_service_account", "source_credentials": google.person(),
        "service_account_impersonation_url": google.impersonation_url(EMAIL),
        "delegates": ["d@example.com", "projects/-/serviceAccounts/e@example.com"],
    });
    file(&folder, "own.json", &own);
    let path = file(&folder, "all.json", &json!({"default": "own.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    // As the real server's tokens do, they say the e-mail in their full form only.
    for (format, email) in [("standard", Value::Null), ("full", EMAIL.into())] {
        let path = format!("instance/service-accounts/default/identity?audience=b&format={format}");
        assert_eq!(google.id_claims(&get(&server, &path).await.body).custom["email"], email, "{format}");
    }
}

#[tokio::test]
async fn each_account_has_its_own_credentials_or_none() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({OTHER: "other.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    assert_eq!(access(&server, &google, &format!("{OTHER}/token")).await.0, OTHER);
    assert_eq!(status(&server, "default/token").await, 404);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_a_refusal_is_not() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.fail_with(&[503, 429]);
    let json = google.service_account(EMAIL);
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    assert_eq!(google.asked("/token"), 3);
    google.fail_with(&[400]);
    assert_eq!(status(&server, &format!("default/token?scopes={READ_ONLY}")).await, 403);
    assert_eq!(google.asked("/token"), 4);
}

#[tokio::test]
async fn whoever_asks_to_be_left_alone_is() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    assert_eq!(status(&server, "default/token").await, 200);
    google.puts_off(429, "120");
    for _ in 0..5 {
        assert_eq!(status(&server, "default/identity?audience=a").await, 503);
    }
    assert_eq!(google.asked("/token"), 2);
}

#[tokio::test]
async fn an_actor_whose_token_was_revoked_gets_another() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
    let path = file(&folder, "adc.json", &google.person());
    let server = server(&google, LiveSource::Impersonate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    google.revoke();
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    assert_eq!(google.asked("/token"), 2);
    // Whoever gets no other is refused.
    google.fail_with(&[401; 3]);
    assert_eq!(status(&server, "default/identity?audience=b").await, 403);
    assert_eq!(google.asked("/token"), 3);
}

#[tokio::test]
async fn no_network_is_no_reason_not_to_start() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let mut json = google.service_account(EMAIL);
    // Nothing listens at port 1.
    json["token_uri"] = "http://127.0.0.1:1/token".into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(status(&server, "default/email").await, 200);
    let unreachable = get(&server, "instance/service-accounts/default/token").await;
    assert_eq!(unreachable.status, 503);
    assert_eq!(unreachable.body, "no token could be had; try again later");
    assert_eq!(admin(&server, "/readyz").await.0, 503);
}

/// Clients give up sooner than a source that is down.
#[tokio::test]
async fn an_outage_shows_though_the_client_has_left() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let fetches = async |outcome| {
        let metrics = admin(&server, "/metrics").await.1;
        let is_it = |line: &&str| line.starts_with("metadata_token_fetches_total{") && line.contains(outcome);
        metrics.lines().filter(is_it).count()
    };
    eventually("all is well", async || fetches("ok").await == 1).await;
    google.fail_with(&[503; 4]);
    tokio::select! {
        status = status(&server, "default/identity?audience=a") => panic!("{status}, all too soon"),
        () = eventually("the source is asked", async || google.asked("/token") == 2) => {}
    }
    eventually("it shows", async || admin(&server, "/readyz").await.0 == 503).await;
    assert_eq!(fetches("unavailable").await, 1);
}

#[tokio::test]
async fn bad_credentials_are_named_and_not_quoted() {
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
    assert!(refused(google.person()).await.contains("service_account or a key in PEM is expected"));
    assert!(refused(json!({"type": "made-up"})).await.contains("type: service_account, "));
    assert!(refused(json!("made-up")).await.contains("key.json: a JSON object or a key in PEM is expected"));
}

#[tokio::test]
async fn a_key_of_another_universe_signs_its_tokens_itself_and_asks_iam_for_identity() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.lets_act_as(EMAIL);
    let mut json = google.service_account(EMAIL);
    json["universe_domain"] = "sample.example.com".into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(access(&server, &google, "default/token").await, (EMAIL.to_owned(), both(&[CLOUD_PLATFORM, READ_ONLY])));
    assert_eq!(identity(&server, &google, "default").await, ("https://a.example.com".into(), EMAIL.into()));
    assert_eq!(google.asked("/token"), 0);
}

#[tokio::test]
async fn a_key_may_be_pkcs1() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let mut json = google.service_account(EMAIL);
    json["private_key"] = google::pkcs1(json["private_key"].as_str().unwrap()).into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
}

#[tokio::test]
async fn an_account_gets_and_loses_its_credentials_while_the_server_runs() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    let other = format!("{OTHER}/token");
    assert_eq!(status(&server, &other).await, 404);
    file(&folder, "all.json", &json!({OTHER: "other.json"}));
    eventually("it has one", async || status(&server, &other).await == 200).await;
    // A mistake takes nothing away.
    file(&folder, "all.json", &json!({OTHER: "nowhere.json"}));
    eventually("the mistake is noticed", async || reloads(&server, "bad").await >= 1).await;
    assert_eq!(status(&server, &other).await, 200);
    // Nor does it once what it names is there.
    file(&folder, "nowhere.json", &google.service_account(OTHER));
    eventually("it is none any more", async || reloads(&server, "good").await >= 2).await;
    assert_eq!(status(&server, &other).await, 200);
    file(&folder, "all.json", &json!({}));
    eventually("it has none, cached or not", async || status(&server, &other).await == 404).await;
}

/// One account's new key is nothing to the others, and to itself only when the new one makes tokens.
#[tokio::test]
async fn an_outage_takes_no_tokens_from_those_who_have_them() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    file(&folder, "own.json", &google.service_account(EMAIL));
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({EMAIL: "own.json", OTHER: "other.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    let other = format!("{OTHER}/token");
    let token = async |path: &str| get(&server, &format!("instance/service-accounts/{path}")).await.body;
    let owner = async |path: &str| access(&server, &google, path).await.0;
    assert_eq!((owner("default/token").await, owner(&other).await), (EMAIL.to_owned(), OTHER.to_owned()));
    let asked = google.asked("/token");
    google.fail_with(&[503; 1000]);
    file(&folder, "own.json", &google.service_account(EMAIL));
    eventually("the key is taken", async || reloads(&server, "good").await == 1).await;
    assert_eq!(owner(&other).await, OTHER);
    assert_eq!(owner("default/token").await, EMAIL, "the old one is good");
    eventually("another is asked for", async || google.asked("/token") > asked).await;
    google.fail_with(&[]);
    let old = token("default/token").await;
    eventually("another is there", async || token("default/token").await != old).await;
    // Somebody else's tokens are not this account's.
    google.fail_with(&[503; 1000]);
    file(&folder, "own.json", &google.service_account("third@sample-project.iam.gserviceaccount.com"));
    eventually("the key is taken", async || reloads(&server, "good").await == 2).await;
    assert_eq!((status(&server, "default/token").await, owner(&other).await), (503, OTHER.to_owned()));
    let expiries = admin(&server, "/metrics").await.1;
    let expiries = expiries.lines().filter(|line| line.starts_with("metadata_token_expiry_seconds{"));
    assert_eq!(expiries.count(), 1);
}

/// An embedder without a server has all of it: the files are followed for as long as somebody polls.
#[tokio::test]
async fn open_credentials_are_attended_to() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let path = file(&folder, "key.json", &google.service_account(EMAIL));
    let credentials = CredentialSource::from(LiveOptions::new(key(path))).open().unwrap();
    assert_eq!((credentials.default_email(), credentials.routes().len()), (Some(EMAIL), 0));
    let publisher = Publisher::new(accounts().tree());
    let account = publisher.reader().snapshot().tree().service_account("default").unwrap();
    let request = AccessTokenRequest { scopes: account.scopes.clone(), account };
    let owner = async || {
        let token = credentials.tokens().access.unwrap().oneshot(request.clone()).await.unwrap();
        google.api(token.token.expose()).unwrap().0
    };
    file(&folder, "key.json", &google.service_account(OTHER));
    tokio::select! {
        () = credentials.attend(publisher.reader()) => panic!("nobody looks after the files any more"),
        () = eventually("the other's key is taken", async || owner().await == OTHER) => {}
    }
}

/// What the files of credentials name counts as theirs, also when it is what keeps them from being taken over.
#[tokio::test]
async fn a_certificate_that_comes_late_is_taken() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, google::SUBJECT_TOKEN).unwrap();
    let path = file(&folder, "adc.json", &google.workload(json!({"file": token})));
    let server = server(&google, LiveSource::Federate { path }).await;
    let [cert_path, key_path] = ["client.pem", "client.key"].map(|name| folder.path().join(name));
    let paths = json!({"cert_path": cert_path, "key_path": key_path});
    let config = file(&folder, "certificate_config.json", &json!({"cert_configs": {"workload": paths}}));
    let source = json!({"certificate": {"certificate_config_location": config}});
    file(&folder, "adc.json", &google.workload(source));
    eventually("there is no certificate", async || reloads(&server, "bad").await >= 1).await;
    let own = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]).unwrap();
    std::fs::write(&key_path, own.signing_key.serialize_pem()).unwrap();
    std::fs::write(&cert_path, own.cert.pem()).unwrap();
    eventually("there is one", async || reloads(&server, "good").await >= 1).await;
}

#[tokio::test]
async fn a_slow_account_holds_up_nobody() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    // Connections are taken here, and nothing is ever said.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut slow = google.service_account(EMAIL);
    slow["token_uri"] = format!("http://{}/token", silent.local_addr().unwrap()).into();
    file(&folder, "slow.json", &slow);
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({"default": "slow.json", OTHER: "other.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    let other = format!("{OTHER}/token");
    tokio::select! {
        status = status(&server, "default/token") => panic!("{status}, from nowhere"),
        status = status(&server, &other) => assert_eq!(status, 200),
    }
}
