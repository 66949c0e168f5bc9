//! Servers that are not ready: what clients see at the socket, and which state a server has after a switch.

#[cfg(feature = "cli")]
mod clients;
#[cfg(feature = "cli")]
mod program;
mod settings;
mod start;

use crate::support::{Client, V1, ask_metrics, eventually, get};
use gce_metadata_server::{Metadata, NoMaintenance, NotReady, Server, ServerBuilder};
use std::io::ErrorKind;
use std::io::ErrorKind::{AddrInUse, BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

/// A server whose readiness can change.
fn builder() -> ServerBuilder {
    Server::builder().metadata(Metadata::sample()).simulate()
}

fn address(server: &Server) -> SocketAddr {
    server.address().socket_addr().unwrap()
}

/// The kind of error with which a connection fails; `None` if it is accepted.
async fn connect_error(address: SocketAddr) -> Option<ErrorKind> {
    TcpStream::connect(address).await.err().map(|error| error.kind())
}

/// A connection with a request that the server has begun to answer and does not answer.
async fn waiting(server: &Server) -> TcpStream {
    let before = open_connections(server).await;
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    let head = format!(
        "GET {V1}/instance/id?wait_for_change=true HTTP/1.1\r\nhost: localhost\r\nmetadata-flavor: Google\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    eventually("a connection is open", async || open_connections(server).await > before).await;
    stream
}

async fn open_connections(server: &Server) -> u64 {
    gauge(server, "metadata_connections").await
}

async fn gauge(server: &Server, name: &str) -> u64 {
    let metrics = ask_metrics(server, "/metrics").await.1;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

/// The error that ends a connection; `None` if the server closes it without one.
async fn end(mut stream: TcpStream) -> Option<ErrorKind> {
    stream.read_to_end(&mut Vec::new()).await.err().map(|error| error.kind())
}

#[tokio::test]
async fn a_server_that_refuses_resets_open_connections_and_keeps_its_port() {
    let server = builder().metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let address = address(&server);
    let idle = TcpStream::connect(address).await.unwrap();
    let polling = waiting(&server).await;
    let mut between_requests = Client::connect(&server).await;
    assert_eq!(between_requests.get("instance/id").await.status, 200);
    eventually("three connections are open", async || open_connections(&server).await == 3).await;

    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert_eq!(connect_error(address).await, Some(ConnectionRefused));
    assert_eq!((end(idle).await, end(polling).await), (Some(ConnectionReset), Some(ConnectionReset)));
    assert!(between_requests.try_get("instance/id").await.is_err());
    assert_eq!(open_connections(&server).await, 0);
    assert_eq!(gauge(&server, "metadata_waiters").await, 0);
    assert_eq!(server.address().socket_addr(), Some(address));

    server.readiness().set_ready().await.unwrap();
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn a_second_server_at_the_port_gets_address_in_use_before_during_and_after() {
    let server = builder().start().await.unwrap();
    let address = address(&server);
    let is_taken = async |state: &str| {
        let error = Server::builder().listen(address).start().await.unwrap_err().to_string();
        assert!(error.contains("in use"), "{state}: {error}");
        assert_eq!(TcpListener::bind(address).await.unwrap_err().kind(), AddrInUse, "{state}");
    };
    is_taken("before").await;
    for _ in 0..3 {
        server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
        is_taken("during").await;
        server.readiness().set_ready().await.unwrap();
        is_taken("after").await;
        assert_eq!(get(&server, "instance/id").await.status, 200);
    }
}

#[tokio::test]
async fn an_unavailable_server_answers_503_to_new_and_to_waiting_requests() {
    let server = builder().metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("instance/id").await.status, 200);
    let mut polling = waiting(&server).await;
    server.readiness().set_not_ready(NotReady::Unavailable).await.unwrap();
    let answer = client.get("instance/id").await;
    assert_eq!((answer.status.as_u16(), answer.header("metadata-flavor")), (503, Some("Google")));
    assert!(answer.body.contains("<title>Error 503 (Service Unavailable)!!1</title>"), "{}", answer.body);
    let mut status = [0; 12];
    polling.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 503");
    assert_eq!(gauge(&server, "metadata_waiters").await, 0);
    server.readiness().set_ready().await.unwrap();
    assert_eq!(client.get("instance/id").await.status, 200, "on the same connection");
    let statuses: Vec<_> = server.requests().received().iter().map(|request| request.status()).collect();
    assert!(
        statuses.contains(&Some(http::StatusCode::SERVICE_UNAVAILABLE)),
        "the journal has refused requests: {statuses:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hanging_server_accepts_and_does_not_answer_until_the_client_leaves() {
    let server = builder().on_current_runtime().metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let polling = waiting(&server).await;
    server.readiness().set_not_ready(NotReady::Hang).await.unwrap();
    let asking = waiting(&server).await;
    for mut stream in [polling, asking] {
        let day = timeout(Duration::from_secs(24 * 3600), stream.read_u8()).await;
        assert!(day.is_err(), "{day:?}");
        server.readiness().set_ready().await.unwrap();
        let day = timeout(Duration::from_secs(24 * 3600), stream.read_u8()).await;
        assert!(day.is_err(), "a request that hangs is not answered later: {day:?}");
    }
    eventually("connections of clients that left are closed", async || open_connections(&server).await == 0).await;
    let statuses: Vec<_> = server.requests().received().iter().map(|request| request.status()).collect();
    assert_eq!(statuses, [None, None], "the journal");
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_requests_that_hang() {
    let server = builder().metrics("127.0.0.1:0", "/metrics").drain(Duration::from_secs(3600)).start().await.unwrap();
    server.readiness().set_not_ready(NotReady::Hang).await.unwrap();
    let asking = waiting(&server).await;
    assert!(server.shutdown().await);
    assert_eq!(end(asking).await, Some(ConnectionReset));
}

#[tokio::test]
async fn a_server_stops_while_it_refuses_and_gives_its_port_away() {
    for graceful in [true, false] {
        let server = builder().start().await.unwrap();
        let (address, readiness) = (address(&server), server.readiness().clone());
        readiness.set_not_ready(NotReady::Refuse).await.unwrap();
        if graceful {
            assert!(server.shutdown().await);
        } else {
            drop(server);
        }
        eventually("the port is free", async || TcpListener::bind(address).await.is_ok()).await;
        let error = readiness.set_ready().await.unwrap_err();
        assert_eq!(error.to_string(), "the server has stopped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switches_by_several_callers_leave_the_state_of_the_last_one() {
    let server = builder().metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let address = address(&server);
    let callers = [NotReady::Refuse, NotReady::Unavailable, NotReady::Hang].map(|manner| {
        let readiness = server.readiness().clone();
        tokio::spawn(async move {
            for _ in 0..30 {
                readiness.set_not_ready(manner).await.unwrap();
                readiness.set_ready().await.unwrap();
            }
        })
    });
    // Clients that come and go meanwhile get an answer or an error, and leave nothing behind.
    let clients: Vec<_> = (0..200)
        .map(|_| {
            tokio::spawn(async move {
                let Ok(mut stream) = TcpStream::connect(address).await else { return };
                _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
                _ = timeout(Duration::from_millis(1), stream.read_u8()).await;
            })
        })
        .collect();
    for task in callers.into_iter().chain(clients) {
        task.await.unwrap();
    }
    assert!(server.readiness().is_ready());
    assert_eq!(get(&server, "instance/id").await.status, 200);
    eventually("no connection is left", async || open_connections(&server).await == 0).await;
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert_eq!(connect_error(address).await, Some(ConnectionRefused));
}

#[tokio::test]
async fn a_connection_that_waits_for_a_slot_is_reset() {
    let server = builder().max_connections(1).metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let served = TcpStream::connect(address(&server)).await.unwrap();
    eventually("the only slot is taken", async || open_connections(&server).await == 1).await;
    // One is accepted and waits for a slot, the others wait in the kernel's queue.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(TcpStream::connect(address(&server)).await.unwrap());
    }
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    for stream in waiting.into_iter().chain([served]) {
        assert_eq!(end(stream).await, Some(ConnectionReset));
    }
    server.readiness().set_ready().await.unwrap();
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn a_unix_socket_is_refused_and_stays_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.sock");
    let server = builder().unix_socket(&path, None).start().await.unwrap();
    let mut open = UnixStream::connect(&path).await.unwrap();
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    let error = UnixStream::connect(&path).await.unwrap_err();
    assert_eq!(error.kind(), ConnectionRefused);
    let closed = open.read(&mut [0]).await.map_err(|error| error.kind());
    assert!(matches!(closed, Ok(0) | Err(ConnectionReset | BrokenPipe)), "{closed:?}");
    let second = Server::builder().unix_socket(&path, None).start().await.unwrap_err();
    assert!(second.to_string().contains("another process"), "{second}");
    server.readiness().set_ready().await.unwrap();
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap(), "localhost").await;
    assert_eq!(client.get("instance/id").await.status, 200);
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert!(server.shutdown().await);
    assert_eq!(UnixStream::connect(&path).await.unwrap_err().kind(), NotFound);
}

#[tokio::test]
async fn a_given_listener_keeps_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = builder().listener(listener).start().await.unwrap();
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert_eq!(connect_error(address).await, Some(ConnectionRefused));
    server.readiness().set_ready().await.unwrap();
    assert_eq!(connect_error(address).await, None);
}

#[tokio::test]
async fn readyz_says_that_the_server_is_set_not_ready() {
    let server = builder().metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await, (200, "ok\n".to_owned()));
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await, (503, "the server is set not ready\n".to_owned()));
    assert_eq!(ask_metrics(&server, "/healthz").await.0, 200);
    server.readiness().set_ready().await.unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
}

#[tokio::test]
#[should_panic(expected = "always ready")]
async fn a_server_that_was_not_asked_to_has_no_readiness() {
    let server = Server::builder().no_maintenance(NoMaintenance::Word).start().await.unwrap();
    server.readiness();
}
