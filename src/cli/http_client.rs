//! The HTTP client of commands that talk to a running server. It uses no proxy, since the server is on this machine or in its network.

use super::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The largest answer that is read: recursion over a large VM has less than 1 MiB.
const MAX_BYTES: usize = 16 << 20;

/// The header that metadata requests must have.
pub(super) const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

/// Why a request got no answer. The `Display` text names the address.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{0}: can't connect: {1}")]
    Connect(Target, io::Error),
    #[error("{0}: no answer within {1:?}")]
    TimedOut(Target, Duration),
    #[error("{0}: {1}")]
    Http(Target, Box<dyn std::error::Error + Send + Sync>),
}

/// Sends a GET request on a connection of its own, and reads the whole answer. `path` may have a query.
pub(super) async fn get(
    target: &Target,
    path: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    limit: Duration,
) -> Result<Response<Bytes>, NoAnswer> {
    let exchange = exchange(target, path, headers.into_iter().collect());
    timeout(limit, exchange).await.unwrap_or_else(|_| Err(NoAnswer::TimedOut(target.clone(), limit)))
}

async fn exchange(target: &Target, path: &str, headers: HeaderMap) -> Result<Response<Bytes>, NoAnswer> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| NoAnswer::Http(target.clone(), error);
    let connected = TcpStream::connect((target.bare_host(), target.port())).await;
    let socket = connected.map_err(|error| NoAnswer::Connect(target.clone(), error))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(socket)).await.map_err(|error| failed(error.into()))?;
    let mut request = Request::get(path).body(Empty::<Bytes>::new()).map_err(|error| failed(error.into()))?;
    *request.headers_mut() = headers;
    let host = HeaderValue::try_from(target.host_header()).map_err(|error| failed(error.into()))?;
    request.headers_mut().insert(header::HOST, host);
    let answered = async {
        let (head, body) = sender.send_request(request).await.map_err(|error| failed(error.into()))?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(failed)?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::pin!(answered);
    tokio::select! {
        answered = &mut answered => answered,
        // The connection ends first if the server closes it after the answer, or without one.
        closed = connection => match closed {
            Ok(()) => answered.await,
            Err(error) => Err(failed(error.into())),
        },
    }
}
