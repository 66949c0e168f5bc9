//! The metrics listener: `/metrics`, `/healthz` and `/readyz`.

use crate::support::{Client, ask_metrics, eventually, get, request};
use gce_metadata_server::routes::token::{AccessToken, AccessTokenRequest, AccessTokenSource, TokenError};
use gce_metadata_server::{Address, Metadata, Server, TokenSources};
use serde_json::json;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tower::service_fn;

const ACCOUNT: &str = "instance/service-accounts/default";

fn builder() -> gce_metadata_server::ServerBuilder {
    Server::builder().metrics((Ipv4Addr::LOCALHOST, 0), "/metrics")
}

/// Scrapes the metrics; returns each sample's value by its name with labels.
async fn scrape(server: &Server) -> BTreeMap<String, f64> {
    let (status, text) = ask_metrics(server, "/metrics").await;
    assert_eq!(status, 200);
    let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn existing_paths_are_labels_and_all_others_share_unmatched() {
    let server = builder().start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let ask = |path: &str| request("GET", path, &[("metadata-flavor", "Google")]);
    for path in ["instance/id", "instance/id?alt=json", "/instance//id", "instance", "instance/?alt=json"] {
        client.get(path).await;
    }
    let series =
        async || scrape(&server).await.into_keys().filter(|name| name.starts_with("metadata_endpoint_")).count();
    let before = series().await;
    for number in 0..1000 {
        for path in [format!("/{number}"), format!("/computeMetadata/v1/instance/{number}"), format!("/0.1/{number}")] {
            client.send(ask(&path), "").await;
        }
        // Refused for this header, because the refusal for a missing flavor would close the connection.
        let refused = ask(&format!("/computeMetadata/v1/{number}")).header("x-forwarded-for", "192.0.2.1");
        client.send(refused, "").await;
    }
    let after = scrape(&server).await;
    let requests =
        |code: &str, path: &str| after[&format!(r#"metadata_endpoint_path_requests{{code="{code}",path="{path}"}}"#)];
    assert_eq!(requests("OK", "/computeMetadata/v1/instance/id"), 3.0);
    assert_eq!(requests("Moved Permanently", "/computeMetadata/v1/instance/"), 1.0);
    assert_eq!(requests("Bad Request", "/computeMetadata/v1/instance/"), 1.0);
    assert_eq!(requests("Not Found", "unmatched"), 2000.0);
    assert_eq!(requests("Forbidden", "unmatched"), 2000.0);
    let latency = r#"metadata_endpoint_latency_seconds_count{path="/computeMetadata/v1/instance/id"}"#;
    assert_eq!(after[latency], 3.0);
    // For `unmatched`: twelve buckets, a sum, a count, and a counter for each of two status codes.
    assert_eq!(series().await - before, 16);
}

#[tokio::test]
async fn gauges_show_the_state_at_the_time_of_the_scrape() {
    let server = builder().start().await.unwrap();
    let value = async |name: &str| scrape(&server).await.get(name).copied();
    let email = |name: &str| format!(r#"service_account_name{{email="{name}"}}"#);
    let old = "vm-1@sample-project.iam.gserviceaccount.com";
    assert_eq!(value(&email(old)).await, Some(1.0));
    assert_eq!(
        value(concat!(r#"metadata_server_version{version="v"#, env!("CARGO_PKG_VERSION"), r#""}"#)).await,
        Some(1.0)
    );
    assert_eq!(value(r#"credential_type{type="Offline"}"#).await, Some(1.0));
    assert_eq!(value("metadata_connections").await, Some(0.0));

    let mut client = Client::connect(&server).await;
    client.get(&format!("{ACCOUNT}/identity?audience=a")).await;
    assert_eq!(value("metadata_connections").await, Some(1.0));
    let hash =
        scrape(&server).await.into_keys().find(|name| name.starts_with("service_account_hash{fingerprint=")).unwrap();
    assert_eq!(hash.len(), r#"service_account_hash{fingerprint=""}"#.len() + 44, "SHA-256 in base64: {hash}");

    server.publisher().set("instance/service-accounts/default/email", "new@example.com").unwrap();
    assert_eq!((value(&email("new@example.com")).await, value(&email(old)).await), (Some(1.0), None));
    assert_eq!(value("metadata_snapshot_generation").await, Some(1.0));

    assert_eq!(value("metadata_waiters").await, Some(0.0));
    let mut waiter = Client::connect(&server).await;
    let waiting = tokio::spawn(async move { waiter.get("instance/preempted?wait_for_change=true").await });
    eventually("one waiter", async || value("metadata_waiters").await == Some(1.0)).await;
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    waiting.await.unwrap();
    assert_eq!(value("metadata_waiters").await, Some(0.0));
    assert!(value("process_resident_memory_bytes").await.unwrap() > 1e6);
}

#[tokio::test]
async fn tokens_are_counted_by_account_kind_source_and_outcome() {
    let server = builder().start().await.unwrap();
    for _ in 0..3 {
        get(&server, &format!("{ACCOUNT}/token")).await;
    }
    for _ in 0..2 {
        get(&server, &format!("{ACCOUNT}/identity?audience=a")).await;
    }
    let samples = scrape(&server).await;
    let labels =
        |kind: &str| format!(r#"account="vm-1@sample-project.iam.gserviceaccount.com",kind="{kind}",source="offline""#);
    let requests = |kind: &str| samples[&format!(r#"metadata_token_requests_total{{{},outcome="ok"}}"#, labels(kind))];
    assert_eq!((requests("access"), requests("identity")), (3.0, 2.0));
    let fetches = |kind: &str| samples[&format!(r#"metadata_token_fetches_total{{{},outcome="ok"}}"#, labels(kind))];
    assert_eq!((fetches("access"), fetches("identity")), (1.0, 1.0));
    assert_eq!(samples[&format!("metadata_token_request_duration_seconds_count{{{}}}", labels("access"))], 3.0);
    assert_eq!(samples["metadata_token_cache_hits_total"], 3.0);
    let left = samples[r#"metadata_token_expiry_seconds{account="vm-1@sample-project.iam.gserviceaccount.com"}"#];
    assert!(left > 3500.0 && left <= 3600.0, "{left}");
    for name in ["default", "vm-1@sample-project.iam.gserviceaccount.com"] {
        server.publisher().remove(&format!("instance/service-accounts/{name}")).unwrap();
    }
    let mut names = scrape(&server).await.into_keys();
    assert_eq!(names.find(|name| name.starts_with("metadata_token_expiry_seconds")), None, "the account was removed");
}

#[tokio::test]
async fn readyz_is_503_if_the_last_fetch_failed() {
    let well = Arc::new(AtomicBool::new(false));
    let source = Arc::clone(&well);
    let access = AccessTokenSource::new(service_fn(move |_: AccessTokenRequest| {
        let answer = match source.load(Ordering::Relaxed) {
            true => Ok(AccessToken::new("t", std::time::Duration::from_secs(9))),
            false => Err(TokenError::Unavailable { reason: "down".into() }),
        };
        async { answer }
    }));
    let sources = TokenSources::default().with_access(access);
    let server = builder().token_sources(sources).start().await.unwrap();
    assert_eq!(ask_metrics(&server, "/healthz").await, (200, "ok\n".into()));
    assert_eq!(ask_metrics(&server, "/readyz").await, (200, "ok\n".into()));
    assert_eq!(get(&server, &format!("{ACCOUNT}/token")).await.status, 503);
    assert_eq!(ask_metrics(&server, "/readyz").await, (503, "the token source failed when it was last asked\n".into()));
    assert_eq!(ask_metrics(&server, "/healthz").await.0, 200);
    well.store(true, Ordering::Relaxed);
    assert_eq!(get(&server, &format!("{ACCOUNT}/token")).await.status, 200);
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
    assert_eq!(ask_metrics(&server, "/none").await.0, 404);
}

/// A refusal counts as an answer, not as a failure.
#[tokio::test]
async fn readyz_fails_only_if_every_account_failed() {
    let access = AccessTokenSource::new(service_fn(|request: AccessTokenRequest| {
        let answer = match request.account.email.split('@').next() {
            Some("down") => Err(TokenError::Unavailable { reason: "down".into() }),
            Some("refused") => Err(TokenError::Refused { reason: "no".into() }),
            _ => Ok(AccessToken::new("t", std::time::Duration::from_secs(9))),
        };
        std::future::ready(answer)
    }));
    let names = ["refused@example.com", "down@example.com", "well@example.com"];
    let accounts: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), json!({}))).into_iter().collect();
    let metadata = Metadata::from_json(json!({"instance": {"serviceAccounts": accounts}})).unwrap();
    let sources = TokenSources::default().with_access(access);
    let server = builder().metadata(metadata).token_sources(sources).start().await.unwrap();
    for (name, status, readiness) in [
        ("down@example.com", 503, 503),
        ("refused@example.com", 403, 200),
        ("down@example.com", 503, 200),
        ("well@example.com", 200, 200),
    ] {
        assert_eq!(get(&server, &format!("instance/service-accounts/{name}/token")).await.status, status, "{name}");
        assert_eq!(ask_metrics(&server, "/readyz").await.0, readiness, "{name}");
    }
}

/// Accounts that were removed from the metadata do not count.
#[tokio::test]
async fn readyz_ignores_removed_accounts() {
    let access = AccessTokenSource::new(service_fn(|request: AccessTokenRequest| {
        std::future::ready(match request.account.email.starts_with("down") {
            true => Err(TokenError::Unavailable { reason: "down".into() }),
            false => Ok(AccessToken::new("t", std::time::Duration::from_secs(9))),
        })
    }));
    let accounts = json!({"down@example.com": {}, "well@example.com": {}});
    let metadata = Metadata::from_json(json!({"instance": {"serviceAccounts": accounts}})).unwrap();
    let sources = TokenSources::default().with_access(access);
    let server = builder().metadata(metadata).token_sources(sources).start().await.unwrap();
    for (name, status) in [("down@example.com", 503), ("well@example.com", 200)] {
        assert_eq!(get(&server, &format!("instance/service-accounts/{name}/token")).await.status, status);
    }
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
    server.publisher().remove("instance/service-accounts/well@example.com").unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 503);
    server.publisher().set("instance/service-accounts/down@example.com/email", "new@example.com").unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
}

#[tokio::test]
async fn readyz_is_503_while_the_config_file_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"project": {}}"#).unwrap();
    let server = builder().metadata_file(&file).start().await.unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
    std::fs::write(&file, "{").unwrap();
    eventually("not ready", async || ask_metrics(&server, "/readyz").await.0 == 503).await;
    assert!(ask_metrics(&server, "/readyz").await.1.contains("the config file has a mistake"));
    assert!(scrape(&server).await[r#"metadata_reloads_total{outcome="bad"}"#] >= 1.0);
    std::fs::write(&file, r#"{"project": {"projectId": "p"}}"#).unwrap();
    eventually("ready again", async || ask_metrics(&server, "/readyz").await.0 == 200).await;
}

#[tokio::test]
async fn two_servers_have_separate_metrics() {
    let metadata = || Metadata::from_json(json!({"instance": {"id": 1}})).unwrap();
    let one = builder().metadata(metadata()).start().await.unwrap();
    let other = builder().metadata(metadata()).start().await.unwrap();
    get(&one, "instance/id").await;
    let counted = async |server: &Server| {
        let samples = scrape(server).await;
        samples.keys().any(|name| name.starts_with("metadata_endpoint_path_requests{"))
    };
    assert_eq!((counted(&one).await, counted(&other).await), (true, false));
}

/// The metrics listener stops last, so that a load balancer sees 503 during the whole drain.
#[tokio::test]
async fn readyz_is_503_during_the_whole_drain() {
    let (asked, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (asks, answers) = (Arc::clone(&asked), Arc::clone(&answered));
    let access = AccessTokenSource::new(service_fn(move |_: AccessTokenRequest| {
        let (asks, answers) = (Arc::clone(&asks), Arc::clone(&answers));
        async move {
            asks.notify_one();
            answers.notified().await;
            Ok(AccessToken::new("late", Duration::from_secs(60)))
        }
    }));
    let tokens = TokenSources::default().with_access(access);
    let server = builder().token_sources(tokens).drain(Duration::from_secs(600)).start().await.unwrap();
    let Some(Address::Tcp(metrics)) = server.metrics_address().cloned() else { panic!("no TCP address") };
    let ready = async || {
        let mut client = Client::over(TcpStream::connect(metrics).await.unwrap(), "metrics").await;
        let answer = client.send(request("GET", "/readyz", &[]), "").await;
        (answer.status.as_u16(), answer.body)
    };
    assert_eq!(ready().await, (200, "ok\n".into()));
    let mut client = Client::connect(&server).await;
    let token = tokio::spawn(async move { client.get(&format!("{ACCOUNT}/token")).await.status.as_u16() });
    asked.notified().await;
    let stopping = tokio::spawn(server.shutdown());
    eventually("readyz says that the server is stopping", async || {
        ready().await == (503, "the server is stopping\n".into())
    })
    .await;
    answered.notify_one();
    assert!(stopping.await.unwrap());
    assert_eq!(token.await.unwrap(), 200);
}

#[tokio::test]
async fn metrics_path_needs_no_leading_slash() {
    let server = Server::builder().metrics((Ipv4Addr::LOCALHOST, 0), "my-metrics").start().await.unwrap();
    assert_eq!(ask_metrics(&server, "/my-metrics").await.0, 200);
}

#[tokio::test]
async fn metrics_path_must_not_be_that_of_another_page() {
    for path in ["/healthz", "readyz"] {
        let error = Server::builder().metrics((Ipv4Addr::LOCALHOST, 0), path).start().await.unwrap_err();
        assert!(error.to_string().contains("is the path of another page; choose another one"), "{error}");
    }
}

#[tokio::test]
async fn the_metrics_listener_accepts_get_and_head_only() {
    let server = builder().start().await.unwrap();
    let Some(Address::Tcp(address)) = server.metrics_address() else { panic!("no TCP address") };
    let mut client = Client::over(TcpStream::connect(address).await.unwrap(), "metrics").await;
    for (method, status, body) in [("GET", 200, "ok\n"), ("HEAD", 200, ""), ("POST", 405, "GET or HEAD, please\n")] {
        let answer = client.send(request(method, "/healthz", &[]), "").await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (status, body), "{method}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{method}");
        let length = if method == "POST" { "20" } else { "3" };
        assert_eq!(answer.header("content-length"), Some(length), "{method}");
    }
}
