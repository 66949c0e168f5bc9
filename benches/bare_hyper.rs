//! The baseline of `scripts/bench` and `scripts/cost`: a hyper server that looks up its answers in a map.
//!
//! `bare_hyper HOST:PORT TARGET…` requests each target once from that server and then serves the same status, headers and bytes.
//! The difference to the metadata server's time is the cost of its layers and tree. `tls:FOLDER` among the targets serves TLS
//! with client certificates, from a folder made by `certs init`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

async fn learn(server: &str, target: &str) -> Answer {
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
    let request = Request::get(format!("http://{server}{target}")).header("Metadata-Flavor", "Google");
    let (mut parts, body) = client.request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap().into_parts();
    // hyper sets these two headers.
    parts.headers.remove("date");
    parts.headers.remove("content-length");
    Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

/// TLS with the metadata server's settings, so that both do the same work in a handshake.
fn acceptor(folder: &Path) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("root.crt")).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(folder.join("server.crt")).unwrap()],
            PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap(),
        )
        .unwrap();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Arc<HashMap<String, Answer>>) {
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let known = &answers[request.uri().path_and_query().unwrap().as_str()];
        let mut response = Response::new(Full::new(known.body.clone()));
        *response.status_mut() = known.status;
        response.headers_mut().clone_from(&known.headers);
        async { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(60)).title_case_headers(true);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

#[tokio::main]
async fn main() {
    // `cargo bench` adds the option `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let Some(server) = args.next() else { return };
    let (mut answers, mut tls) = (HashMap::new(), None);
    for target in args {
        if let Some(folder) = target.strip_prefix("tls:") {
            tls = Some(acceptor(folder.as_ref()));
            continue;
        }
        let answer = learn(&server, &target).await;
        answers.insert(target, answer);
    }
    let answers = Arc::new(answers);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    // Accept on a worker of the runtime, as the server does: a separate thread would get a larger share of the CPU.
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let (answers, tls) = (Arc::clone(&answers), tls.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve(stream, answers).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, answers).await;
                        }
                    }
                }
            });
        }
    })
    .await
    .unwrap()
}
