//! The load generator of `scripts/bench` for HTTPS with client certificates, which wrk does not support.
//!
//! `mtls requests|handshakes HOST:PORT FOLDER SECONDS TARGET` prints a rate per second: of requests on one connection, or of full
//! handshakes. `mtls idle HOST:PORT FOLDER NUMBER` opens connections, prints `connected`, and keeps them open until the end of its
//! standard input. `certs init` makes the folder.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

fn connector(folder: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("root.crt")).unwrap()).unwrap();
    let pair = folder.join("client.key");
    let (chain, key) = (CertificateDer::from_pem_file(&pair).unwrap(), PrivateKeyDer::from_pem_file(&pair).unwrap());
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![chain], key)
        .unwrap();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

async fn connect(connector: &TlsConnector, address: &str) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    tcp.set_nodelay(true).unwrap();
    connector.connect("metadata.google.internal".try_into().unwrap(), tcp).await.unwrap()
}

/// A handshake and an orderly close, so that the server has finished its side too.
async fn full_handshake(connector: &TlsConnector, address: &str) {
    let mut stream = connect(connector, address).await;
    stream.shutdown().await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0);
}

/// The number of calls per second.
async fn rate(limit: Duration, mut once: impl AsyncFnMut()) -> f64 {
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < limit {
        once().await;
        done += 1;
    }
    f64::from(done) / start.elapsed().as_secs_f64()
}

async fn requests(connector: &TlsConnector, address: &str, limit: Duration, target: &str) -> f64 {
    let io = TokioIo::new(connect(connector, address).await);
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(io).await.unwrap();
    tokio::spawn(connection);
    rate(limit, async || {
        let request =
            Request::get(target).header("host", "metadata.google.internal").header("metadata-flavor", "Google");
        let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.into_body().collect().await.unwrap();
    })
    .await
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let [what, address, folder, number, rest @ ..] = args.as_slice() else { return };
    let connector = connector(folder.as_ref());
    let limit = || Duration::from_secs_f64(number.parse().unwrap());
    match what.as_str() {
        "requests" => println!("{:.1}", requests(&connector, address, limit(), &rest[0]).await),
        "handshakes" => println!("{:.1}", rate(limit(), async || full_handshake(&connector, address).await).await),
        _ => {
            let mut open = Vec::new();
            for _ in 0..number.parse().unwrap() {
                open.push(connect(&connector, address).await);
            }
            println!("connected");
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
    }
}
