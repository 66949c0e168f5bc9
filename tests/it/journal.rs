//! The journal of requests, over sockets: the admin API's routes, the library, and a load of many connections.

#[cfg(feature = "cli")]
mod clients;
mod library;
mod load;
#[cfg(feature = "cli")]
mod program;
mod recorded;
mod routes;
mod verify;

use crate::admin::Admin;
use gce_metadata_server::Server;

/// A server with a journal, and a client of its admin API.
async fn start() -> (Server, Admin) {
    let server = crate::admin::builder().start().await.unwrap();
    let admin = Admin::of(&server).await;
    (server, admin)
}
