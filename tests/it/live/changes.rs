//! Credentials files that change while the server runs: reload and invalidation of tokens.

use super::{EMAIL, OTHER, READ_ONLY, access, accounts, builder, file, key, server, status};
use crate::support::google::{Google, SUBJECT_TOKEN};
use crate::support::{ask_metrics, eventually, get};
use gce_metadata_server::routes::token::AccessTokenRequest;
use gce_metadata_server::{AccessTokenKind, CredentialSource, LiveOptions, LiveSource, Publisher, Server};
use serde_json::json;
use tempfile::TempDir;
use tower::ServiceExt;

#[tokio::test]
async fn a_new_key_file_is_loaded_and_a_broken_one_is_not() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let token = async || get(&server, "instance/service-accounts/default/token").await.json()["access_token"].clone();
    let before = token().await;
    let fingerprint = async || {
        let metrics = ask_metrics(&server, "/metrics").await.1;
        metrics.lines().find(|line| line.starts_with("service_account_hash{")).unwrap().to_owned()
    };
    let old = fingerprint().await;
    // This also revokes the old key: only the new one can get another token.
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the new key is in use", async || fingerprint().await != old).await;
    eventually("a new token", async || token().await != before).await;
    let (served, new) = (token().await, fingerprint().await);
    std::fs::remove_file(folder.path().join("key.json")).unwrap();
    eventually("the missing file is counted", async || reloads(&server, "bad").await >= 1).await;
    file(&folder, "key.json", &json!("made-up"));
    eventually("the broken file is counted", async || reloads(&server, "bad").await >= 2).await;
    file(&folder, "key.json", &google.user_credentials());
    eventually("the wrong type of credentials is counted", async || reloads(&server, "bad").await >= 3).await;
    assert_eq!(token().await, served);
    assert_eq!(access(&server, &google, &format!("default/token?scopes={READ_ONLY}")).await.1, READ_ONLY);
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the repaired key is in use", async || fingerprint().await != new).await;
    eventually("the reload is counted", async || reloads(&server, "good").await == 2).await;
}

/// Self-signed tokens are invalid once their key is revoked, so a reload evicts them.
#[tokio::test]
async fn a_new_key_evicts_self_signed_tokens_of_the_old_one() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let source = key(file(&folder, "key.json", &google.service_account(EMAIL)));
    let server =
        builder(&google, source, |it| it.access_token_kind = Some(AccessTokenKind::Jwt)).start().await.unwrap();
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the new key is taken", async || reloads(&server, "good").await == 1).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL, "signed by the new key");
}

/// The number of credential reloads with this outcome.
async fn reloads(server: &Server, outcome: &str) -> u64 {
    let series = format!("metadata_credential_reloads_total{{outcome=\"{outcome}\"}} ");
    let metrics = ask_metrics(server, "/metrics").await.1;
    metrics.lines().find_map(|line| line.strip_prefix(&*series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn accounts_can_be_added_to_and_removed_from_the_credentials_list() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    let other = format!("{OTHER}/token");
    assert_eq!(status(&server, &other).await, 404);
    file(&folder, "all.json", &json!({OTHER: "other.json"}));
    eventually("the account is served", async || status(&server, &other).await == 200).await;
    // A broken list keeps the previous credentials.
    file(&folder, "all.json", &json!({OTHER: "nowhere.json"}));
    eventually("the mistake is noticed", async || reloads(&server, "bad").await >= 1).await;
    assert_eq!(status(&server, &other).await, 200);
    // They are still served once the named file exists.
    file(&folder, "nowhere.json", &google.service_account(OTHER));
    eventually("the corrected list is counted", async || reloads(&server, "good").await >= 2).await;
    assert_eq!(status(&server, &other).await, 200);
    file(&folder, "all.json", &json!({}));
    eventually("the removed account is 404, although its token was cached", async || {
        status(&server, &other).await == 404
    })
    .await;
}

/// A new key marks the tokens of its account stale: they are served until the first fetch with the new key succeeds. Other
/// accounts are not affected.
#[tokio::test]
async fn stale_tokens_are_served_during_an_outage_after_a_key_change() {
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
    assert_eq!(owner("default/token").await, EMAIL, "the stale token is served");
    eventually("a refresh is tried", async || google.asked("/token") > asked).await;
    google.fail_with(&[]);
    let old = token("default/token").await;
    eventually("the token is refreshed", async || token("default/token").await != old).await;
    // A key of another identity evicts the tokens instead.
    google.fail_with(&[503; 1000]);
    file(&folder, "own.json", &google.service_account("third@sample-project.iam.gserviceaccount.com"));
    eventually("the key is taken", async || reloads(&server, "good").await == 2).await;
    assert_eq!((status(&server, "default/token").await, owner(&other).await), (503, OTHER.to_owned()));
    let expiries = ask_metrics(&server, "/metrics").await.1;
    let expiries = expiries.lines().filter(|line| line.starts_with("metadata_token_expiry_seconds{"));
    assert_eq!(expiries.count(), 1);
}

/// After a reload `/readyz` keeps its answer until the new credentials have been probed, which happens at once.
#[tokio::test]
async fn readyz_stays_503_until_new_credentials_are_probed() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.fail_with(&[503; 1000]);
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let ready = async || ask_metrics(&server, "/readyz").await.0;
    eventually("the source has failed", async || ready().await == 503).await;
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the key is taken", async || reloads(&server, "good").await == 1).await;
    assert_eq!(ready().await, 503);
    google.fail_with(&[]);
    file(&folder, "key.json", &google.service_account(EMAIL));
    eventually("the probe succeeds", async || ready().await == 200).await;
}

/// `Credentials::attend` reloads files for embedders without a server, as long as its future is polled.
#[tokio::test]
async fn attend_reloads_credentials_without_a_server() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let path = file(&folder, "key.json", &google.service_account(EMAIL));
    let credentials = CredentialSource::from(LiveOptions::new(key(path))).open().unwrap();
    assert_eq!((credentials.default_email(), credentials.routes().len()), (Some(EMAIL), 0));
    let publisher = Publisher::new(accounts().tree());
    let account = publisher.reader().snapshot().tree().service_account("default").unwrap();
    let request = AccessTokenRequest::new(account.clone(), account.scopes.clone());
    let owner = async || {
        let token = credentials.tokens().access.unwrap().oneshot(request.clone()).await.unwrap();
        google.api(token.token.expose()).unwrap().0
    };
    file(&folder, "key.json", &google.service_account(OTHER));
    tokio::select! {
        () = credentials.supervise(publisher.reader()) => panic!("the supervisor has returned"),
        () = eventually("the new key is loaded", async || owner().await == OTHER) => {}
    }
}

/// Files that credentials name are followed too, also while one of them prevents the reload.
#[tokio::test]
async fn credentials_are_reloaded_when_a_missing_certificate_appears() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let token = folder.path().join("token");
    std::fs::write(&token, SUBJECT_TOKEN).unwrap();
    let path = file(&folder, "adc.json", &google.workload(json!({"file": token})));
    let server = server(&google, LiveSource::Federate { path }).await;
    let [cert_path, key_path] = ["client.pem", "client.key"].map(|name| folder.path().join(name));
    let paths = json!({"cert_path": cert_path, "key_path": key_path});
    let config = file(&folder, "certificate_config.json", &json!({"cert_configs": {"workload": paths}}));
    let source = json!({"certificate": {"certificate_config_location": config}});
    file(&folder, "adc.json", &google.workload(source));
    eventually("the missing certificate is counted", async || reloads(&server, "bad").await >= 1).await;
    let own = rcgen::generate_simple_self_signed(["client.example.com".to_owned()]).unwrap();
    std::fs::write(&key_path, own.signing_key.serialize_pem()).unwrap();
    std::fs::write(&cert_path, own.cert.pem()).unwrap();
    eventually("the credentials are reloaded", async || reloads(&server, "good").await >= 1).await;
}
