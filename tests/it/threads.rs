//! A server that runs on its own threads, so that tests may block their thread and need no async runtime.

use crate::support::get;
use gce_metadata_server::{Metadata, Server};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A blocking GET.
fn blocking_get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address().to_string()).unwrap();
    let request = format!(
        "GET /computeMetadata/v1/{path} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A test that waits for a child process blocks its runtime.
#[tokio::test(flavor = "current_thread")]
async fn a_blocked_runtime_does_not_block_the_server() {
    let server = Server::builder().metadata(Metadata::sample()).start().await.unwrap();
    assert_eq!(blocking_get(&server, "project/project-id"), "sample-project");
    server.publisher().set("project/project-id", "changed").unwrap();
    assert_eq!(blocking_get(&server, "project/project-id"), "changed");
    let identity = blocking_get(&server, "instance/service-accounts/default/identity?audience=a");
    assert_eq!(identity.split('.').count(), 3, "{identity}");
    assert!(server.shutdown().await);
}

#[test]
fn a_plain_test_starts_a_server_without_a_runtime() {
    let server = Server::builder().start_blocking().unwrap();
    assert_eq!(blocking_get(&server, "project/project-id"), "sample-project");
    let taken = server.address().socket_addr().unwrap();
    let error = Server::builder().listen(taken).start_blocking().unwrap_err().to_string();
    assert!(error.contains(&format!("can't listen at {taken}: ")), "{error}");
}

#[test]
fn a_plain_test_shuts_a_server_down_without_a_runtime() {
    let server = Server::builder().start_blocking().unwrap();
    let address = server.address().socket_addr().unwrap();
    assert_eq!(blocking_get(&server, "project/project-id"), "sample-project");
    assert!(server.shutdown_blocking());
    assert!(TcpStream::connect(address).is_err());
    // A connection that is in use is closed at the end of the drain time.
    let server = Server::builder().drain(Duration::ZERO).start_blocking().unwrap();
    let mut client = TcpStream::connect(server.address().socket_addr().unwrap()).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: metadata\r\n\r\nGET / HTTP/1.1\r\n").unwrap();
    client.read_exact(&mut [0]).unwrap();
    assert!(!server.shutdown_blocking());
}

#[tokio::test]
async fn a_dropped_server_frees_its_port() {
    let server = Server::builder().start().await.unwrap();
    let address = server.address().socket_addr().unwrap();
    drop(server);
    let again = async || Server::builder().listen(address).start().await.is_ok();
    crate::support::eventually("the port is free", again).await;
}

#[tokio::test(start_paused = true)]
async fn on_current_runtime_uses_the_runtimes_paused_clock() {
    let server = Server::builder().on_current_runtime().start().await.unwrap();
    // With the paused clock a day passes at once.
    let waited = get(&server, "instance/maintenance-event?wait_for_change=true&timeout_sec=86400").await;
    assert_eq!((waited.status.as_u16(), &*waited.body), (200, "NONE"));
}
