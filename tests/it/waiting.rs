//! `wait_for_change` over real sockets: many waiters, woken by their own change and by nothing else.

use crate::support::{Client, ask_metrics, eventually, get, serve};
use futures_util::future::join_all;
use gce_metadata_server::{Address, Metadata, Server, ServerBuilder};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const MANY: usize = 1000;

async fn vm() -> Server {
    serve(json!({"instance": {
        "attributes": {"a": "1", "b": "1"}, "maintenanceEvent": "NONE",
        "disks": [{"mode": "READ_WRITE"}],
    }}))
    .await
}

/// This many clients on connections of their own, each waiting for a change of what it has seen.
async fn waiters(server: &Server, path: &str, count: usize) -> Vec<tokio::task::JoinHandle<String>> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let tag = get(server, path).await.etag().to_owned();
    let uri = format!("{path}{separator}wait_for_change=true&last_etag={tag}");
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(server).await;
        let uri = uri.clone();
        clients.push(tokio::spawn(async move { client.get(&uri).await.body }));
    }
    clients
}

async fn bodies(waiters: Vec<tokio::task::JoinHandle<String>>) -> Vec<String> {
    join_all(waiters).await.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_on_a_leaf_and_a_thousand_on_the_root_wake_and_the_others_sleep_on() {
    // Two thousand connections are four thousand files, as both ends are in this process.
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let server = vm().await;
    let on_leaf = waiters(&server, "instance/attributes/a", MANY).await;
    let on_root = waiters(&server, "?recursive=true", MANY).await;
    let elsewhere = waiters(&server, "instance/attributes/b", 50).await;
    let above = waiters(&server, "instance/disks/?recursive=true&alt=text", 50).await;

    let start = Instant::now();
    server.publisher().set("instance/attributes/a", "2").unwrap();
    assert!(bodies(on_leaf).await.iter().all(|body| body == "2"));
    let root: Vec<Value> = bodies(on_root).await.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
    // A tenth of a second, nearly always. Ten leave room for a machine that is busy with something else.
    assert!(start.elapsed() < Duration::from_secs(10), "2 x {MANY} waiters woken in {:?}", start.elapsed());
    assert!(root.iter().all(|root| root["instance"]["attributes"]["a"] == "2"));

    // Whoever had been answered by the first change would have said "1".
    assert!(elsewhere.iter().chain(&above).all(|waiter| !waiter.is_finished()));
    server.publisher().set("instance/attributes/b", "2").unwrap();
    assert!(bodies(elsewhere).await.iter().all(|body| body == "2"));
    server.publisher().set("instance/disks/0/mode", "READ_ONLY").unwrap();
    assert!(bodies(above).await.iter().all(|body| body == "0/mode READ_ONLY\n"));
}

/// A server that tells how many wait.
fn watched_vm() -> ServerBuilder {
    let metadata = Metadata::from_json(json!({"instance": {"attributes": {"a": "1"}}})).unwrap();
    Server::builder().metadata(metadata).metrics((Ipv4Addr::LOCALHOST, 0), "/metrics")
}

async fn until_this_many_wait(server: &Server, count: usize) {
    let wanted = format!("\nmetadata_waiters {count}\n");
    eventually(wanted.trim(), async || ask_metrics(server, "/metrics").await.1.contains(&wanted)).await;
}

#[tokio::test]
async fn without_a_tag_the_next_change_answers() {
    let server = watched_vm().start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let waiting = tokio::spawn(async move { client.get("instance/attributes/a?wait_for_change=true").await });
    until_this_many_wait(&server, 1).await;
    assert!(!waiting.is_finished());
    server.publisher().set("instance/attributes/a", "2").unwrap();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "2"));
    assert_eq!(answer.etag(), get(&server, "instance/attributes/a").await.etag());
}

#[tokio::test]
async fn a_change_and_back_again_has_the_first_tag() {
    let server = vm().await;
    let before = get(&server, "?recursive=true").await;
    server.publisher().set("instance/attributes/a", "2").unwrap();
    assert_ne!(get(&server, "?recursive=true").await.etag(), before.etag());
    server.publisher().set("instance/attributes/a", "1").unwrap();
    assert_eq!(get(&server, "?recursive=true").await.etag(), before.etag());
}

#[tokio::test]
async fn a_deleted_key_answers_404() {
    let server = vm().await;
    let waiting = waiters(&server, "instance/attributes/a", 1).await;
    server.publisher().remove("instance/attributes/a").unwrap();
    assert!(bodies(waiting).await[0].contains("Error 404"));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_place() {
    let server = watched_vm().max_waiters(1).start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 1).await.remove(0);
    until_this_many_wait(&server, 1).await;
    let one_more = waiters(&server, "instance/attributes/a", 1).await;
    assert!(bodies(one_more).await[0].contains("Error 503"));
    waiting.abort();
    until_this_many_wait(&server, 0).await;
}

#[tokio::test]
async fn long_polls_leave_a_quarter_of_the_connections_to_other_requests() {
    // Scraping is done on the other listener.
    let server = watched_vm().max_connections(8).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let waiting = waiters(&server, "instance/attributes/a", 6).await;
    until_this_many_wait(&server, 6).await;
    let refused = client.get("instance/attributes/a?wait_for_change=true").await;
    assert_eq!(refused.status, 503);
    // The same connection and a new one still have answers.
    assert_eq!(client.get("instance/attributes/a").await.body, "1");
    assert_eq!(get(&server, "instance/attributes/a").await.body, "1");
    server.publisher().set("instance/attributes/a", "2").unwrap();
    assert!(bodies(waiting).await.iter().all(|body| body == "2"));
}

#[tokio::test]
async fn the_cap_of_waiters_counts_where_it_is_lower() {
    let server = watched_vm().max_connections(8).max_waiters(2).start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 2).await;
    until_this_many_wait(&server, 2).await;
    assert_eq!(get(&server, "instance/attributes/a?wait_for_change=true").await.status, 503);
    drop(waiting);
}

/// hyper does not look at a socket while it has something of it in store. A client may leave all the same.
#[tokio::test]
async fn a_client_that_sent_more_than_its_request_is_noticed_when_it_leaves() {
    let server = watched_vm().start().await.unwrap();
    let Address::Tcp(address) = server.address() else { panic!() };
    let head = "GET /computeMetadata/v1/instance/attributes/a?wait_for_change=true HTTP/1.1\r\nHost: metadata\r\n\
                Metadata-Flavor: Google\r\n";
    for more in ["\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: metadata\r\n\r\n", "Content-Length: 10\r\n\r\nonly"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}{more}").as_bytes()).await.unwrap();
        until_this_many_wait(&server, 1).await;
        drop(stream);
        until_this_many_wait(&server, 0).await;
    }
}

#[tokio::test]
async fn shutdown_answers_every_waiter() {
    let server = watched_vm().start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 100).await;
    until_this_many_wait(&server, 100).await;
    let (drained, bodies) = tokio::join!(server.shutdown(), bodies(waiting));
    assert!(drained);
    assert!(bodies.iter().all(|body| body == "1"));
}

#[tokio::test]
async fn a_dropped_server_is_gone() {
    let server = vm().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("instance/attributes/a").await.body, "1");
    drop(server);
    eventually("no answer", async || client.try_get("instance/attributes/a").await.is_err()).await;
}
