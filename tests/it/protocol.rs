//! HTTP/1.0 and 1.1 on the wire: unusual, slow and malformed requests, limits and sockets.

use crate::support::{Client, ask_metrics, eventually, get, request, serve};
use futures_util::future::join_all;
use gce_metadata_server::{Address, Server};
use serde_json::json;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

async fn vm() -> Server {
    serve(json!({"instance": {"name": "vm-1"}})).await
}

/// Writes these bytes and reads until the server closes the connection.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let Address::Tcp(address) = server.address() else { panic!() };
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may reset the connection while bytes are unread.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const NAME: &str = "/computeMetadata/v1/instance/name";

#[tokio::test]
async fn http_1_0_connections_are_kept_alive_only_on_request() {
    let server = vm().await;
    let plain = raw(&server, format!("GET {NAME} HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n").as_bytes()).await;
    assert!(plain.starts_with("HTTP/1.0 200 OK\r\n") && plain.ends_with("\r\n\r\nvm-1"), "{plain}");
    let twice = format!(
        "GET {NAME} HTTP/1.0\r\nConnection: keep-alive\r\nMetadata-Flavor: Google\r\n\r\n\
         GET {NAME} HTTP/1.0\r\nMetadata-Flavor: Google\r\n\r\n"
    );
    let kept = raw(&server, twice.as_bytes()).await;
    assert_eq!(kept.matches("vm-1").count(), 2, "{kept}");
    assert!(kept.to_ascii_lowercase().contains("\r\nconnection: keep-alive\r\n"), "{kept}");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = vm().await;
    let line = |path: &str, rest: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n{rest}\r\n")
    };
    let requests =
        line(NAME, "") + &line("/computeMetadata/v1/instance/none", "") + &line(NAME, "Connection: close\r\n");
    let answers = raw(&server, requests.as_bytes()).await;
    let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
}

#[tokio::test]
async fn header_names_are_written_as_gce_writes_them() {
    let server = vm().await;
    let answer = raw(
        &server,
        format!("GET {NAME} HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\nmetadata-flavor: Google\r\n\r\n")
            .as_bytes(),
    )
    .await;
    for header in
        ["\r\nMetadata-Flavor: Google\r\n", "\r\nContent-Type: application/text\r\n", "\r\nContent-Length: 4\r\n"]
    {
        assert!(answer.contains(header), "{answer}");
    }
}

#[tokio::test]
async fn white_space_before_a_headers_colon_is_400() {
    let server = vm().await;
    let answer =
        raw(&server, format!("GET {NAME} HTTP/1.1\r\nHost: a\r\nMetadata-Flavor : Google\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn a_request_target_in_absolute_form_is_served() {
    let server = vm().await;
    let target = format!(
        "GET http://metadata.google.internal{NAME} HTTP/1.1\r\nHost: metadata\r\nConnection: close\r\nMetadata-Flavor: Google\r\n\r\n"
    );
    assert!(raw(&server, target.as_bytes()).await.ends_with("\r\n\r\nvm-1"));
}

#[tokio::test]
async fn oversized_headers_are_431() {
    let server = vm().await;
    let endless = format!("GET {NAME} HTTP/1.1\r\nX: {}", "x".repeat(64 * 1024));
    let answer = raw(&server, endless.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    assert_eq!(get(&server, "instance/name").await.body, "vm-1");
}

#[tokio::test]
async fn header_timeout_closes_an_unfinished_request() {
    let server = Server::builder().header_timeout(Duration::from_millis(1)).start().await.unwrap();
    assert!(!raw(&server, b"GET / HTTP/1.1\r\nHost: met").await.contains("200 OK"));
    assert_eq!(raw(&server, b"").await, "");
}

/// An unfinished request head is dropped soon after the shutdown begins, not at the end of the drain time.
#[tokio::test]
async fn an_unfinished_request_head_does_not_delay_the_shutdown() {
    // In the test's runtime, whose clock is paused below.
    let server = Server::builder().on_current_runtime().drain(Duration::from_secs(3600)).start().await.unwrap();
    let Address::Tcp(address) = *server.address() else { panic!() };
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: metadata\r\n\r\nGET / HT").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    tokio::time::pause();
    let stopping = tokio::time::Instant::now();
    assert!(server.shutdown().await);
    assert!(stopping.elapsed() < Duration::from_secs(60), "{:?}", stopping.elapsed());
}

#[tokio::test]
async fn write_timeout_closes_the_connection_of_a_client_that_reads_nothing() {
    let large = json!({"instance": {"attributes": {"a": "x".repeat(32 << 20)}}});
    let metadata = gce_metadata_server::Metadata::from_json(large).unwrap();
    let builder = Server::builder().metadata(metadata).write_timeout(Duration::from_millis(10));
    let server = builder.metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let Address::Tcp(address) = *server.address() else { panic!() };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request =
        "GET /computeMetadata/v1/instance/attributes/a HTTP/1.1\r\nHost: a\r\nMetadata-Flavor: Google\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let connections =
        async |count: u32| ask_metrics(&server, "/metrics").await.1.contains(&format!("connections {count}\n"));
    eventually("the request is answered", async || ask_metrics(&server, "/metrics").await.1.contains("attributes/a"))
        .await;
    eventually("the connection is closed", async || connections(0).await).await;
}

#[tokio::test]
async fn at_the_connection_limit_a_connection_queues_until_another_ends() {
    let server = Server::builder().max_connections(1).start().await.unwrap();
    let mut first = Client::connect(&server).await;
    first.get("instance/name").await;
    let mut second = Client::connect(&server).await;
    let mut queued = tokio::spawn(async move { second.get("instance/name").await });
    for _ in 0..100 {
        first.get("instance/name").await;
    }
    assert!(futures_util::poll!(&mut queued).is_pending());
    drop(first);
    assert_eq!(queued.await.unwrap().status, 200);
}

#[tokio::test]
async fn an_unread_request_body_does_not_break_keep_alive() {
    let server = vm().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..3 {
        let post = request(
            "POST",
            "/computeMetadata/v1/instance/service-accounts/default/token",
            &[("metadata-flavor", "Google")],
        );
        assert_eq!(client.send(post, &"x".repeat(1000)).await.status, 404);
    }
}

#[tokio::test]
async fn two_servers_in_one_process_share_no_state() {
    let (one, other) = (vm().await, serve(json!({"instance": {"name": "vm-2"}})).await);
    one.publisher().set("instance/name", "renamed").unwrap();
    assert_eq!(get(&one, "instance/name").await.body, "renamed");
    assert_eq!(get(&other, "instance/name").await.body, "vm-2");
    let token = "instance/service-accounts/default/token";
    assert!(one.shutdown().await);
    assert_eq!(get(&other, token).await.status, 404);
}

#[tokio::test]
async fn server_threads_serve_connections_and_end_with_the_server() {
    let start = async || Server::builder().threads(NonZeroUsize::new(3).unwrap()).start().await.unwrap();
    let server = start().await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(Client::connect(&server).await);
    }
    let seen = clients[0].get("instance/preempted").await.etag().to_owned();
    let target = format!("instance/preempted?wait_for_change=true&last_etag={seen}");
    let waiting = clients.iter_mut().map(|client| client.get(&target));
    let change = async { server.publisher().set("instance/preempted", "TRUE") };
    let (answers, changed) = tokio::join!(join_all(waiting), change);
    changed.unwrap();
    assert!(answers.iter().all(|answer| answer.body == "TRUE"));
    let address = server.address().to_string();
    assert!(server.shutdown().await);
    assert!(TcpStream::connect(&address).await.is_err());

    let server = start().await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("project/project-id").await.status, 200);
    drop(server);
    eventually("the dropped server's connections end", async || client.try_get("project/project-id").await.is_err())
        .await;
}

#[tokio::test]
async fn ipv6_is_served_if_available() {
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    if tokio::net::TcpListener::bind(address).await.is_err() {
        return;
    }
    let server = Server::builder().listen(address).start().await.unwrap();
    assert!(server.url().unwrap().starts_with("http://[::1]:"));
    assert_eq!(get(&server, "project/project-id").await.body, "sample-project");
}

#[tokio::test]
async fn a_unix_socket_is_served_and_removed_at_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sock");
    let server = Server::builder().unix_socket(&path, Some(0o660)).start().await.unwrap();
    assert_eq!((server.url(), server.env()), (None, Vec::new()));
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap(), "metadata.google.internal").await;
    assert_eq!(client.get("project/project-id").await.body, "sample-project");
    drop(client);
    assert!(server.shutdown().await);
    assert!(!path.exists());
}

#[tokio::test]
async fn given_tokens_are_served_for_the_default_account_only() {
    let accounts = json!({
        "default": {"email": "a@example.com", "scopes": ["s"]},
        "b@example.com": {"email": "b@example.com", "scopes": ["s"]},
    });
    let metadata =
        gce_metadata_server::Metadata::from_json(json!({"instance": {"serviceAccounts": accounts}})).unwrap();
    let server = Server::builder().metadata(metadata).access_token("ya29.given").start().await.unwrap();
    let account = |name: &str| format!("instance/service-accounts/{name}");
    let token = get(&server, &(account("a@example.com") + "/token")).await;
    assert_eq!(token.body, r#"{"access_token":"ya29.given","expires_in":3600,"token_type":"Bearer"}"#);
    assert_eq!(get(&server, &(account("b@example.com") + "/token")).await.status, 404);
    assert_eq!(
        get(&server, &(account("default") + "/identity?audience=a")).await.status,
        404,
        "no source of identity tokens"
    );
    let certs = Client::connect(&server).await.send(request("GET", "/oauth2/v3/certs", &[]), "").await;
    assert_eq!(certs.status, 404, "public keys are published by the offline issuer only");
}

#[tokio::test]
async fn a_client_that_closes_its_sending_side_is_answered() {
    let server = vm().await;
    for _ in 0..30 {
        let Address::Tcp(address) = server.address() else { panic!() };
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {NAME} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\nvm-1"), "{answer}");
    }
}

#[tokio::test]
async fn a_request_has_one_host_in_http_1_1_and_at_most_one_in_http_1_0() {
    let server = vm().await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\n", 200),
        ("1.1", "Host:\r\n", 200),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\n", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request =
            format!("GET {NAME} HTTP/{version}\r\n{hosts}Metadata-Flavor: Google\r\nConnection: close\r\n\r\n");
        let answer = raw(&server, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/{version} {status} ")), "{version} {hosts:?}: {answer}");
    }
    // The connection is closed after the 400.
    let refused = raw(&server, format!("GET {NAME} HTTP/1.1\r\n\r\n").as_bytes()).await;
    assert!(
        refused.contains("\r\nConnection: close\r\n") && refused.contains("Error 400 (Bad Request)!!1"),
        "{refused}"
    );
}
