//! Fault injection over sockets: what a client sees of each kind of fault, the admin API, the library, and faults of token sources.

mod connections;
mod library;
mod matched;
mod routes;
mod slow;
mod source;

use crate::support::V1;
use gce_metadata_server::{Fault, FaultGuard, Server};
use serde_json::Value;
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The path of a token, below v1.
const TOKEN: &str = "instance/service-accounts/default/token";

/// A server whose faults can be changed.
async fn start() -> Server {
    Server::builder().simulate().start().await.unwrap()
}

/// Adds the fault of a document.
fn add(server: &Server, document: Value) -> FaultGuard {
    server.faults().add(Fault::json(&document).unwrap()).unwrap()
}

fn address(server: &Server) -> SocketAddr {
    server.address().socket_addr().unwrap()
}

/// Sends a request for a path below v1 on a new connection, which the server closes after its answer.
async fn send(server: &Server, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address(server)).await.unwrap();
    let head = "host: localhost\r\nmetadata-flavor: Google\r\nconnection: close";
    stream.write_all(format!("GET {V1}/{path} HTTP/1.1\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// All bytes that a client receives, and how the connection ends.
async fn receive(mut stream: TcpStream) -> (String, Result<(), ErrorKind>) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(|_| ()).map_err(|error| error.kind());
    (String::from_utf8(bytes).unwrap(), end)
}

async fn ask(server: &Server, path: &str) -> (String, Result<(), ErrorKind>) {
    receive(send(server, path).await).await
}

/// The status, the lines of the head, and the body of a whole answer.
async fn answer(server: &Server, path: &str) -> (u16, String, String) {
    let (bytes, end) = ask(server, path).await;
    assert_eq!(end, Ok(()), "{bytes}");
    split(&bytes)
}

fn split(bytes: &str) -> (u16, String, String) {
    let (head, body) = bytes.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head: {bytes:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_owned(), body.to_owned())
}

/// The value of `Content-Length`.
fn length(head: &str) -> usize {
    let line = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    line.unwrap_or_else(|| panic!("no length: {head}")).parse().unwrap()
}

async fn status(server: &Server, path: &str) -> u16 {
    answer(server, path).await.0
}
