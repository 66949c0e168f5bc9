//! Layers that abort connections.

use crate::support::get;
use axum::body::Body;
use gce_metadata_server::layers::{AbortConnection, FailAbortedLayer};
use gce_metadata_server::{Address, InnerService, Metadata, Server, Vm};
use std::io::ErrorKind;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::layer::layer_fn;
use tower::{Layer, ServiceExt, service_fn};

/// A layer that marks responses to `instance/id` with [`AbortConnection`].
macro_rules! abort_id {
    () => {
        layer_fn(|inner: InnerService<_, _>| {
            service_fn(move |request: http::Request<_>| {
                let (inner, is_aborted) = (inner.clone(), request.uri().path().ends_with("/instance/id"));
                async move {
                    let mut response = inner.oneshot(request).await?;
                    if is_aborted {
                        response.extensions_mut().insert(AbortConnection);
                    }
                    Ok(response)
                }
            })
        })
    };
}

/// The bytes that a client reads, and how the connection ends.
async fn ask_id(address: SocketAddr) -> (Vec<u8>, Result<(), ErrorKind>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET /computeMetadata/v1/instance/id HTTP/1.1\r\nhost: localhost\r\nmetadata-flavor: Google\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let end = stream.read_to_end(&mut read).await.map(|_| ()).map_err(|error| error.kind());
    (read, end)
}

#[tokio::test]
async fn a_layer_resets_the_clients_connection() {
    let server = Server::builder().layer(abort_id!()).start().await.unwrap();
    let Address::Tcp(address) = *server.address() else { panic!("no TCP address") };
    assert_eq!(ask_id(address).await, (Vec::new(), Err(ErrorKind::ConnectionReset)));
    assert_eq!(get(&server, "instance/name").await.status, 200);
}

/// A foreign server ignores `AbortConnection`: [`FailAbortedLayer`] makes the body fail, so the server closes the connection.
#[tokio::test]
async fn a_foreign_server_closes_an_aborted_connection() {
    let (vm, _tasks) = Vm::builder().metadata(Metadata::sample()).open().await.unwrap();
    let metadata = FailAbortedLayer::new().layer(vm.stack::<Body>().layer(abort_id!()).service());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let application = axum::Router::new().fallback_service(metadata);
    tokio::spawn(async { axum::serve(listener, application).await });
    assert_eq!(ask_id(address).await, (Vec::new(), Ok(())));
}
