//! Outages of the token source: retries, Retry-After, revocation, unreachable and slow hosts.

use super::{EMAIL, OTHER, READ_ONLY, access, file, identity, key, server, status};
use crate::support::google::Google;
use crate::support::{ask_metrics, eventually, get};
use gce_metadata_server::LiveSource;
use serde_json::json;
use tempfile::TempDir;

#[tokio::test]
async fn transient_errors_are_retried_and_refusals_are_not() {
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
async fn no_request_is_sent_before_retry_after_has_passed() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    assert_eq!(status(&server, "default/token").await, 200);
    google.fail_with_retry_after(429, "120");
    for _ in 0..5 {
        assert_eq!(status(&server, "default/identity?audience=a").await, 503);
    }
    assert_eq!(google.asked("/token"), 2);
}

#[tokio::test]
async fn a_revoked_source_token_is_fetched_again_once() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    google.allow_impersonation(EMAIL);
    let path = file(&folder, "adc.json", &google.user_credentials());
    let server = server(&google, LiveSource::Impersonate { path }).await;
    assert_eq!(access(&server, &google, "default/token").await.0, EMAIL);
    google.revoke();
    assert_eq!(identity(&server, &google, "default").await.1, EMAIL);
    assert_eq!(google.asked("/token"), 2);
    // If the new token is refused too, so is the request.
    google.fail_with(&[401; 3]);
    assert_eq!(status(&server, "default/identity?audience=b").await, 403);
    assert_eq!(google.asked("/token"), 3);
}

#[tokio::test]
async fn the_server_starts_without_a_network() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let mut json = google.service_account(EMAIL);
    // Nothing listens at port 1.
    json["token_uri"] = "http://127.0.0.1:1/token".into();
    let server = server(&google, key(file(&folder, "key.json", &json))).await;
    assert_eq!(status(&server, "default/email").await, 200);
    let unreachable = get(&server, "instance/service-accounts/default/token").await;
    assert_eq!(unreachable.status, 503);
    assert_eq!(unreachable.body, "no token could be had; try again later");
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 503);
}

/// A fetch continues when its client leaves: clients often have shorter time-outs than an unavailable source.
#[tokio::test]
async fn a_failed_fetch_is_counted_although_its_client_has_left() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let fetches = async |outcome| {
        let metrics = ask_metrics(&server, "/metrics").await.1;
        let is_it = |line: &&str| line.starts_with("metadata_token_fetches_total{") && line.contains(outcome);
        metrics.lines().filter(is_it).count()
    };
    eventually("the first probe has succeeded", async || fetches("ok").await == 1).await;
    google.fail_with(&[503; 4]);
    tokio::select! {
        status = status(&server, "default/identity?audience=a") => panic!("{status} before the fetch has failed"),
        () = eventually("the fetch has started", async || google.asked("/token") == 2) => {}
    }
    eventually("readyz is 503", async || ask_metrics(&server, "/readyz").await.0 == 503).await;
    assert_eq!(fetches("unavailable").await, 1);
}

#[tokio::test]
async fn a_slow_account_does_not_block_other_accounts() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    // A host that accepts connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut slow = google.service_account(EMAIL);
    slow["token_uri"] = format!("http://{}/token", silent.local_addr().unwrap()).into();
    file(&folder, "slow.json", &slow);
    file(&folder, "other.json", &google.service_account(OTHER));
    let path = file(&folder, "all.json", &json!({"default": "slow.json", OTHER: "other.json"}));
    let server = server(&google, LiveSource::PerAccount { path }).await;
    let other = format!("{OTHER}/token");
    tokio::select! {
        status = status(&server, "default/token") => panic!("{status} from a host that never answers"),
        status = status(&server, &other) => assert_eq!(status, 200),
    }
}
