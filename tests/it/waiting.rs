//! Long polls (`wait_for_change`) over real sockets: waiters wake on a change of their own path only; limits, shutdown.

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

/// Starts `count` long polls for the next change of this path, each on its own connection.
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
async fn a_change_wakes_all_waiters_on_the_leaf_and_the_root_and_no_others() {
    // Two thousand connections need four thousand file descriptors, because both ends are in this process.
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
    // Usually 0.1 s; the limit leaves room for a busy machine.
    assert!(start.elapsed() < Duration::from_secs(10), "2 x {MANY} waiters woken in {:?}", start.elapsed());
    assert!(root.iter().all(|root| root["instance"]["attributes"]["a"] == "2"));

    // A waiter woken by the first change would have answered "1".
    assert!(elsewhere.iter().chain(&above).all(|waiter| !waiter.is_finished()));
    server.publisher().set("instance/attributes/b", "2").unwrap();
    assert!(bodies(elsewhere).await.iter().all(|body| body == "2"));
    server.publisher().set("instance/disks/0/mode", "READ_ONLY").unwrap();
    assert!(bodies(above).await.iter().all(|body| body == "0/mode READ_ONLY\n"));
}

/// A server with metrics, which count the waiters.
fn vm_with_metrics() -> ServerBuilder {
    let metadata = Metadata::from_json(json!({"instance": {"attributes": {"a": "1"}}})).unwrap();
    Server::builder().metadata(metadata).metrics((Ipv4Addr::LOCALHOST, 0), "/metrics")
}

async fn until_waiters(server: &Server, count: usize) {
    let wanted = format!("\nmetadata_waiters {count}\n");
    eventually(wanted.trim(), async || ask_metrics(server, "/metrics").await.1.contains(&wanted)).await;
}

#[tokio::test]
async fn a_long_poll_without_last_etag_waits_for_the_next_change() {
    let server = vm_with_metrics().start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let waiting = tokio::spawn(async move { client.get("instance/attributes/a?wait_for_change=true").await });
    until_waiters(&server, 1).await;
    assert!(!waiting.is_finished());
    server.publisher().set("instance/attributes/a", "2").unwrap();
    let answer = waiting.await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "2"));
    assert_eq!(answer.etag(), get(&server, "instance/attributes/a").await.etag());
}

#[tokio::test]
async fn an_undone_change_restores_the_entity_tag() {
    let server = vm().await;
    let before = get(&server, "?recursive=true").await;
    server.publisher().set("instance/attributes/a", "2").unwrap();
    assert_ne!(get(&server, "?recursive=true").await.etag(), before.etag());
    server.publisher().set("instance/attributes/a", "1").unwrap();
    assert_eq!(get(&server, "?recursive=true").await.etag(), before.etag());
}

#[tokio::test]
async fn a_waiter_on_a_removed_key_gets_404() {
    let server = vm().await;
    let waiting = waiters(&server, "instance/attributes/a", 1).await;
    server.publisher().remove("instance/attributes/a").unwrap();
    assert!(bodies(waiting).await[0].contains("Error 404"));
}

#[tokio::test]
async fn a_disconnected_client_frees_its_waiter() {
    let server = vm_with_metrics().max_waiters(1).start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 1).await.remove(0);
    until_waiters(&server, 1).await;
    let one_more = waiters(&server, "instance/attributes/a", 1).await;
    assert!(bodies(one_more).await[0].contains("Error 503"));
    waiting.abort();
    until_waiters(&server, 0).await;
}

#[tokio::test]
async fn long_polls_leave_a_quarter_of_the_connections_to_other_requests() {
    // Scrapes use the metrics listener, so they do not count.
    let server = vm_with_metrics().max_connections(8).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let waiting = waiters(&server, "instance/attributes/a", 6).await;
    until_waiters(&server, 6).await;
    let refused = client.get("instance/attributes/a?wait_for_change=true").await;
    assert_eq!(refused.status, 503);
    // Other requests are answered, on the same connection and on a new one.
    assert_eq!(client.get("instance/attributes/a").await.body, "1");
    assert_eq!(get(&server, "instance/attributes/a").await.body, "1");
    server.publisher().set("instance/attributes/a", "2").unwrap();
    assert!(bodies(waiting).await.iter().all(|body| body == "2"));
}

#[tokio::test]
async fn max_waiters_applies_below_the_limit_by_connections() {
    let server = vm_with_metrics().max_connections(8).max_waiters(2).start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 2).await;
    until_waiters(&server, 2).await;
    assert_eq!(get(&server, "instance/attributes/a?wait_for_change=true").await.status, 503);
    drop(waiting);
}

/// hyper does not poll a socket while bytes of it are buffered; the server must detect a closed connection without it.
#[tokio::test]
async fn a_disconnect_is_detected_although_bytes_are_buffered() {
    let server = vm_with_metrics().start().await.unwrap();
    let Address::Tcp(address) = server.address() else { panic!() };
    let head = "GET /computeMetadata/v1/instance/attributes/a?wait_for_change=true HTTP/1.1\r\nHost: metadata\r\n\
                Metadata-Flavor: Google\r\n";
    for more in ["\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: metadata\r\n\r\n", "Content-Length: 10\r\n\r\nonly"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}{more}").as_bytes()).await.unwrap();
        until_waiters(&server, 1).await;
        drop(stream);
        until_waiters(&server, 0).await;
    }
}

#[tokio::test]
async fn shutdown_answers_all_waiters() {
    let server = vm_with_metrics().start().await.unwrap();
    let waiting = waiters(&server, "instance/attributes/a", 100).await;
    until_waiters(&server, 100).await;
    let (drained, bodies) = tokio::join!(server.shutdown(), bodies(waiting));
    assert!(drained);
    assert!(bodies.iter().all(|body| body == "1"));
}

#[tokio::test]
async fn a_dropped_server_closes_its_connections() {
    let server = vm().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("instance/attributes/a").await.body, "1");
    drop(server);
    eventually("the connection is closed", async || client.try_get("instance/attributes/a").await.is_err()).await;
}
