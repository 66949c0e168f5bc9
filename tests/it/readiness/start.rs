//! The start of a server that is ready later.

use super::{address, connect_error};
use crate::support::{Client, eventually, get};
use gce_metadata_server::{Metadata, NotReady, Server, ServerBuilder};
use std::io::ErrorKind::ConnectionRefused;
use std::time::Duration;

const TIME: Duration = Duration::from_secs(10);

/// A server that is ready after [`TIME`] of the paused clock.
fn ready_later() -> ServerBuilder {
    Server::builder().metadata(Metadata::sample()).on_current_runtime().ready_after(TIME)
}

#[tokio::test(start_paused = true)]
async fn a_server_refuses_clients_until_the_time_is_over() {
    let server = ready_later().start().await.unwrap();
    assert_eq!(server.readiness().not_ready(), Some(NotReady::Refuse));
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
    tokio::time::sleep(TIME - Duration::from_millis(1)).await;
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
    tokio::time::sleep(Duration::from_millis(2)).await;
    eventually("the server is ready", async || server.readiness().is_ready()).await;
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_server_may_answer_503_until_the_time_is_over() {
    let server = ready_later().not_ready(NotReady::Unavailable).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("instance/id").await.status, 503);
    tokio::time::sleep(TIME + Duration::from_millis(1)).await;
    eventually("the server is ready", async || server.readiness().is_ready()).await;
    assert_eq!(client.get("instance/id").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_switch_replaces_the_time_of_the_start() {
    let server = ready_later().start().await.unwrap();
    server.readiness().set_ready().await.unwrap();
    assert_eq!(get(&server, "instance/id").await.status, 200);
    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    tokio::time::sleep(2 * TIME).await;
    assert_eq!(connect_error(address(&server)).await, Some(ConnectionRefused));
}

#[tokio::test]
async fn a_server_stops_before_it_is_ready() {
    let server = Server::builder().ready_after(Duration::from_secs(3600)).start().await.unwrap();
    assert!(server.shutdown().await);
}
