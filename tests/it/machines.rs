//! Several `Vm`s in one process behind one listener, chosen by the client's address.

use crate::support::{Client, eventually, request};
use bytes::Bytes;
use gce_metadata_server::layers::Connection;
use gce_metadata_server::{IncomingBody, Metadata, Vm};
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));
const EVENT: &str = "instance/maintenance-event";
const GUEST: &str = "/computeMetadata/v1/instance/guest-attributes/ns/key";

/// Opens a machine of this name; its background tasks end when the token is cancelled.
async fn machine(name: &str, folder: &Path, stop: &CancellationToken) -> Vm {
    let metadata = json!({"instance": {
        "name": name,
        "attributes": {"enable-guest-attributes": "TRUE"},
        "maintenanceEvent": "NONE",
        "serviceAccounts": {"default": {"email": format!("{name}@example.com")}},
    }});
    let builder = Vm::builder().metadata(Metadata::from_json(metadata).unwrap()).access_token(format!("ya29.{name}"));
    let (vm, tasks) = builder.guest_attributes_file(folder.join(name)).guest_attributes_sync().open().await.unwrap();
    tokio::spawn(tasks.run(stop.clone()));
    vm
}

/// Serves each connection with the machine of the client's address.
async fn serve(listener: TcpListener, machines: HashMap<IpAddr, Vm>, stop: CancellationToken) {
    loop {
        let (stream, remote) = listener.accept().await.unwrap();
        let service =
            machines[&remote.ip()].stack_with_bodies::<IncomingBody, Full<Bytes>>().until(stop.clone()).service();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Connection::from_remote(remote));
            service.clone().oneshot(request.map(IncomingBody::from))
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn client(from: IpAddr, to: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    Client::over(socket.connect(to).await.unwrap(), "metadata").await
}

#[tokio::test]
async fn two_machines_behind_one_listener_share_nothing() {
    let (folder, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
    let (a, b) = (machine("vm-a", folder.path(), &stop).await, machine("vm-b", folder.path(), &stop).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, [(A, a.clone()), (B, b.clone())].into(), stop.clone()));

    let (mut of_a, mut of_b) = (client(A, address).await, client(B, address).await);
    for (client, name) in [(&mut of_a, "vm-a"), (&mut of_b, "vm-b")] {
        assert_eq!(client.get("instance/name").await.body, name);
        let token = client.get("instance/service-accounts/default/token").await.json();
        assert_eq!(token["access_token"], format!("ya29.{name}"));
        assert_eq!(client.get(&format!("instance/service-accounts/{name}@example.com/token")).await.status, 200);
    }
    assert_eq!(of_a.get("instance/service-accounts/vm-b@example.com/token").await.status, 404);

    // A waiter wakes only on a change of its own machine.
    let mut waiting = client(A, address).await;
    let waiting = tokio::spawn(async move { waiting.get(&format!("{EVENT}?wait_for_change=true")).await.body });
    b.publisher().set(EVENT, "TERMINATE_ON_HOST_MAINTENANCE").unwrap();
    assert_eq!(of_b.get(EVENT).await.body, "TERMINATE_ON_HOST_MAINTENANCE");
    assert_eq!(of_a.get(EVENT).await.body, "NONE");
    assert!(!waiting.is_finished());
    a.publisher().set(EVENT, "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
    // The change may come before the long poll has begun; then the next change wakes it.
    eventually("the wait ends", async || {
        let next = of_a.get(&format!("{EVENT}?alt=json")).await.body.contains("MIGRATE");
        a.publisher().set(EVENT, if next { "NONE" } else { "MIGRATE_ON_HOST_MAINTENANCE" }).unwrap();
        waiting.is_finished()
    })
    .await;
    assert!(["NONE", "MIGRATE_ON_HOST_MAINTENANCE"].contains(&&*waiting.await.unwrap()));

    let put = request("PUT", GUEST, &[("metadata-flavor", "Google")]);
    assert_eq!(of_a.send(put, "written by a").await.status, 200);
    assert_eq!(of_a.get("instance/guest-attributes/ns/key").await.body, "written by a");
    assert_eq!(of_b.get("instance/guest-attributes/ns/key").await.status, 404);
    let saved = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(saved("vm-a").contains("written by a") && !saved("vm-b").contains("written by a"));
    stop.cancel();
}
