//! The HTTPS listener of a server that is not ready.

use super::{BOTH, Pki, ask, connect};
use gce_metadata_server::{NotReady, Server};
use std::io::ErrorKind::ConnectionRefused;
use tokio::net::TcpStream;

#[tokio::test]
async fn https_is_refused_and_answers_503_with_http() {
    let pki = Pki::new();
    let (client, root) = (pki.client(), pki.authority.certificate());
    let server = Server::builder().simulate().mtls_beside("127.0.0.1:0", pki.options()).start().await.unwrap();
    let mut open = connect(&server, root, Some(&client), BOTH).await.unwrap();
    assert_eq!(open.get("project/project-id").await.status, 200);

    server.readiness().set_not_ready(NotReady::Refuse).await.unwrap();
    assert!(open.try_get("project/project-id").await.is_err(), "the open connection is reset");
    for address in [server.address(), server.tls_address().unwrap()] {
        let error = TcpStream::connect(address.socket_addr().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ConnectionRefused, "{address}");
    }
    server.readiness().set_not_ready(NotReady::Unavailable).await.unwrap();
    assert_eq!(ask(&server, root, Some(&client), BOTH).await.unwrap().status, 503);
    server.readiness().set_ready().await.unwrap();
    assert_eq!(ask(&server, root, Some(&client), BOTH).await.unwrap().status, 200);
}
