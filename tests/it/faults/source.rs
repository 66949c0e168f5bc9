//! Faults of token sources, below the cache.

use super::{TOKEN, add, status};
use crate::support::{ask_metrics, get};
use gce_metadata_server::Server;
use serde_json::json;
use std::time::Duration;

async fn start() -> Server {
    Server::builder().simulate().metrics("127.0.0.1:0", "/metrics").start().await.unwrap()
}

fn rotate(server: &Server) {
    let account = server.vm().reader().snapshot().tree().service_account("default").unwrap();
    server.vm().tokens().rotate(&account.email);
}

#[tokio::test]
async fn cached_tokens_survive_an_outage_of_the_source() {
    let server = start().await;
    let cached = get(&server, TOKEN).await;
    assert_eq!(cached.status, 200);
    let outage = add(&server, json!({"at": "source", "response": {"status": 503}}));
    let answered = get(&server, TOKEN).await;
    let token = |answer: &crate::support::Answer| answer.json()["access_token"].clone();
    assert_eq!((token(&answered), outage.status().unwrap().matched), (token(&cached), 0));
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);

    rotate(&server);
    assert_eq!((status(&server, TOKEN).await, outage.injected()), (503, 1));
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 503, "readiness shows the outage");
    let metrics = ask_metrics(&server, "/metrics").await.1;
    assert!(
        metrics.lines().any(|line| line.starts_with("metadata_token_fetches_total") && line.contains("unavailable")),
        "{metrics}"
    );
    drop(outage);
    assert_eq!(status(&server, TOKEN).await, 200);
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
}

#[tokio::test]
async fn faults_of_the_source_match_by_account_and_kind_of_token() {
    let server = start().await;
    let identity = "instance/service-accounts/default/identity?audience=https://a.example.com";
    for (request, expected) in [
        (json!({"path": "instance/service-accounts/*/token"}), (503, 200)),
        (json!({"path": "instance/service-accounts/default/identity"}), (200, 503)),
        (json!({"account": {"equalTo": "default"}}), (503, 503)),
        (json!({"account": {"matches": ".*@.*"}}), (503, 503)),
        (json!({"account": {"equalTo": "other@example.com"}}), (200, 200)),
    ] {
        rotate(&server);
        let guard = add(&server, json!({"at": "source", "request": request.clone(), "response": {"status": 500}}));
        assert_eq!((status(&server, TOKEN).await, status(&server, identity).await), expected, "{request}");
        drop(guard);
    }
}

#[tokio::test]
async fn statuses_of_the_source_are_answered_as_those_of_an_upstream() {
    let server = start().await;
    let words = ["return-403", "return-429", "return-500"];
    let _fault = add(&server, json!({"at": "source", "instructions": words}));
    assert_eq!(
        [status(&server, TOKEN).await, status(&server, TOKEN).await, status(&server, TOKEN).await],
        [403, 503, 503]
    );
    assert_eq!(status(&server, TOKEN).await, 200);
}

#[tokio::test(start_paused = true)]
async fn no_fetch_is_made_before_the_retry_after_of_a_fault_has_passed() {
    let server = Server::builder().simulate().on_current_runtime().start().await.unwrap();
    let response = json!({"status": 503, "headers": {"Retry-After": "30"}});
    let outage = add(&server, json!({"at": "source", "failRequestCount": 1, "response": response}));
    assert_eq!(status(&server, TOKEN).await, 503);
    tokio::time::advance(Duration::from_secs(29)).await;
    assert_eq!((status(&server, TOKEN).await, outage.status().unwrap().matched), (503, 1));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(status(&server, TOKEN).await, 200);
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_delays_the_first_token_only() {
    let server = Server::builder().simulate().on_current_runtime().start().await.unwrap();
    let _fault = add(&server, json!({"at": "source", "instructions": ["stall-for-2s"]}));
    for expected in [2, 0] {
        let start = tokio::time::Instant::now();
        assert_eq!((status(&server, TOKEN).await, start.elapsed().as_secs()), (200, expected));
    }
}
