//! Google at its worst: unreachable, slow, busy, of another mind.

use super::{EMAIL, OTHER, READ_ONLY, access, file, identity, key, server, status};
use crate::support::google::Google;
use crate::support::{ask_metrics, eventually, get};
use gce_metadata_server::LiveSource;
use serde_json::json;
use tempfile::TempDir;

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
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 503);
}

/// Clients give up sooner than a source that is down.
#[tokio::test]
async fn an_outage_shows_though_the_client_has_left() {
    let (google, folder) = (Google::start().await, TempDir::new().unwrap());
    let server = server(&google, key(file(&folder, "key.json", &google.service_account(EMAIL)))).await;
    let fetches = async |outcome| {
        let metrics = ask_metrics(&server, "/metrics").await.1;
        let is_it = |line: &&str| line.starts_with("metadata_token_fetches_total{") && line.contains(outcome);
        metrics.lines().filter(is_it).count()
    };
    eventually("all is well", async || fetches("ok").await == 1).await;
    google.fail_with(&[503; 4]);
    tokio::select! {
        status = status(&server, "default/identity?audience=a") => panic!("{status}, all too soon"),
        () = eventually("the source is asked", async || google.asked("/token") == 2) => {}
    }
    eventually("it shows", async || ask_metrics(&server, "/readyz").await.0 == 503).await;
    assert_eq!(fetches("unavailable").await, 1);
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
