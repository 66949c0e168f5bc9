//! Helpers of the integration tests: a server on a free port, an HTTP client, and polling with a deadline.

#[cfg(feature = "live")]
pub(crate) mod google;
#[cfg(all(feature = "cli", feature = "pkcs11"))]
pub(crate) mod hsm;
pub(crate) mod kubernetes_volume;
#[cfg(feature = "cli")]
pub(crate) mod program;
#[cfg(feature = "tpm")]
pub(crate) mod swtpm;

use bytes::Bytes;
use gce_metadata_server::{Address, ConfigDocument, Server};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::path::PathBuf;
use tokio::net::TcpStream;

pub(crate) const V1: &str = "/computeMetadata/v1";

/// The path of a file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The dump that the conformance tables use.
pub(crate) fn dump() -> String {
    std::fs::read_to_string(repository("tests/conformance/vm.json")).unwrap()
}

/// Starts a server with this config or dump.
pub(crate) async fn serve(json: Value) -> Server {
    let metadata = ConfigDocument::from_json(json).unwrap().metadata;
    Server::builder().metadata(metadata).start().await.unwrap()
}

/// A client with one keep-alive connection.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

/// A response with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn etag(&self) -> &str {
        self.header("etag").unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Client {
    pub(crate) async fn connect(server: &Server) -> Self {
        let Address::Tcp(address) = server.address() else { panic!("{:?}", server.address()) };
        Self::over(TcpStream::connect(address).await.unwrap(), &address.to_string()).await
    }

    pub(crate) async fn over(
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        host: &str,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self { sender, host: host.to_owned() }
    }

    /// GET below `/computeMetadata/v1/` with `Metadata-Flavor: Google`.
    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    pub(crate) async fn try_get(&mut self, path: &str) -> hyper::Result<Answer> {
        let request = Request::get(format!("{V1}/{path}")).header("Metadata-Flavor", "Google");
        self.try_send(request, "").await
    }

    pub(crate) async fn send(&mut self, request: http::request::Builder, body: &str) -> Answer {
        self.try_send(request, body).await.unwrap()
    }

    pub(crate) async fn try_send(&mut self, request: http::request::Builder, body: &str) -> hyper::Result<Answer> {
        let mut request = request.body(Full::from(body.to_owned())).unwrap();
        request.headers_mut().entry("host").or_insert_with(|| self.host.parse().unwrap());
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() })
    }
}

/// GET from the metrics listener.
pub(crate) async fn ask_metrics(server: &Server, path: &str) -> (u16, String) {
    let Some(Address::Tcp(address)) = server.metrics_address() else { panic!("started without .metrics()") };
    let stream = TcpStream::connect(address).await.unwrap();
    let answer = Client::over(stream, "metrics").await.send(request("GET", path, &[]), "").await;
    (answer.status.as_u16(), answer.body)
}

/// GET on a new connection.
pub(crate) async fn get(server: &Server, path: &str) -> Answer {
    Client::connect(server).await.get(path).await
}

/// GET on a new connection to `HOST:PORT`.
#[cfg(feature = "cli")]
pub(crate) async fn get_at(host: &str, path: &str) -> Answer {
    Client::over(TcpStream::connect(host).await.unwrap(), host).await.get(path).await
}

/// The metrics of the listener at `HOST:PORT`.
#[cfg(feature = "cli")]
pub(crate) async fn metrics_at(host: &str) -> String {
    let stream = TcpStream::connect(host).await.unwrap();
    Client::over(stream, host).await.send(request("GET", "/metrics", &[]), "").await.body
}

/// A request with this method and these headers only.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> http::request::Builder {
    let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path);
    headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
}

/// Polls until the condition holds; panics after a deadline, so that a test fails instead of hanging.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(30);
    tokio::time::timeout(deadline, asking).await.unwrap_or_else(|_| panic!("{what}: not within {deadline:?}"));
}
