//! The HTTP client of commands that talk to a running server. It uses no proxy, since the server is on this machine or in its network.

use super::target::Target;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::path::PathBuf;
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// The largest answer that is read: recursion over a large VM has less than 1 MiB.
const MAX_BYTES: usize = 16 << 20;

/// The header that metadata requests must have.
pub(super) const FLAVOR: (HeaderName, HeaderValue) =
    (HeaderName::from_static("metadata-flavor"), HeaderValue::from_static("Google"));

/// The socket of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Peer {
    Tcp(Target),
    Unix(PathBuf),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(target) => target.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a request got no answer. The `Display` text names the address.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("{0}: can't connect: {1}")]
    Connect(Peer, io::Error),
    #[error("{0}: no answer within {1:?}")]
    TimedOut(Peer, Duration),
    #[error("{0}: {1}")]
    Http(Peer, BoxError),
}

/// Sends a GET request. `path` may have a query.
pub(super) async fn get(
    target: &Target,
    path: &str,
    headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    limit: Duration,
) -> Result<Response<Bytes>, NoAnswer> {
    let peer = Peer::Tcp(target.clone());
    let request = Request::get(path).body(Bytes::new());
    let mut request = request.map_err(|error| NoAnswer::Http(peer.clone(), error.into()))?;
    request.headers_mut().extend(headers);
    send(&peer, request, limit).await
}

/// Sends a request on a connection of its own, and reads the whole answer. The URI of the request is its path, and may have a query.
pub(super) async fn send(peer: &Peer, request: Request<Bytes>, limit: Duration) -> Result<Response<Bytes>, NoAnswer> {
    let exchanged = timeout(limit, connect_and_exchange(peer, request)).await;
    exchanged.unwrap_or_else(|_| Err(NoAnswer::TimedOut(peer.clone(), limit)))
}

async fn connect_and_exchange(peer: &Peer, request: Request<Bytes>) -> Result<Response<Bytes>, NoAnswer> {
    let request = with_host(peer, request)?;
    exchange(connect(peer).await?, request).await.map_err(|error| NoAnswer::Http(peer.clone(), error))
}

/// Sends a request on a connection of its own, and returns the answer when its head has arrived, within this time. A task of the runtime
/// receives the body.
pub(super) async fn open(
    peer: &Peer,
    request: Request<Bytes>,
    limit: Duration,
) -> Result<Response<Incoming>, NoAnswer> {
    let failed = |error: hyper::Error| NoAnswer::Http(peer.clone(), error.into());
    let opened = async {
        let request = with_host(peer, request)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(connect(peer).await?)).await.map_err(failed)?;
        // The body reports an error of the connection.
        tokio::spawn(connection);
        sender.send_request(request.map(Full::new)).await.map_err(failed)
    };
    timeout(limit, opened).await.unwrap_or_else(|_| Err(NoAnswer::TimedOut(peer.clone(), limit)))
}

/// A connected socket, TCP or Unix.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

async fn connect(peer: &Peer) -> Result<Box<dyn Socket>, NoAnswer> {
    let refused = |error| NoAnswer::Connect(peer.clone(), error);
    Ok(match peer {
        Peer::Tcp(target) => Box::new(TcpStream::connect((target.bare_host(), target.port())).await.map_err(refused)?),
        Peer::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(refused)?),
    })
}

/// Adds the header `Host`.
fn with_host(peer: &Peer, mut request: Request<Bytes>) -> Result<Request<Bytes>, NoAnswer> {
    let host = match peer {
        Peer::Tcp(target) => HeaderValue::try_from(target.host_header()),
        Peer::Unix(_) => Ok(HeaderValue::from_static("localhost")),
    };
    let host = host.map_err(|error| NoAnswer::Http(peer.clone(), error.into()))?;
    request.headers_mut().insert(header::HOST, host);
    Ok(request)
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, BoxError> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let answered = async {
        let (head, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::pin!(answered);
    let closed = tokio::select! {
        answered = &mut answered => return answered,
        closed = connection => closed,
    };
    // The connection ends first if the server closes or resets it after the answer, or without one.
    match (answered.await, closed) {
        (Err(_), Err(error)) => Err(error.into()),
        (answered, _) => answered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    use tokio::io::ReadBuf;

    /// A server that sends a whole answer to the request, and then resets the connection.
    struct Resetting {
        answer: Option<&'static [u8]>,
        is_asked: bool,
        reader: Option<Waker>,
    }

    impl AsyncRead for Resetting {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if !self.is_asked {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let Some(answer) = self.answer.take() else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            buffer.put_slice(answer);
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Resetting {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.is_asked = true;
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_whole_answer_counts_although_the_server_resets_the_connection() {
        // `select!` polls in random order.
        for _ in 0..50 {
            let answer = b"HTTP/1.1 413 Large\r\nContent-Length: 2\r\n\r\nno";
            let server = Resetting { answer: Some(answer), is_asked: false, reader: None };
            let request = Request::get("/").header("host", "localhost").body(Bytes::new()).unwrap();
            let answer = exchange(server, request).await.unwrap();
            assert_eq!((answer.status().as_u16(), &answer.body()[..]), (413, &b"no"[..]));
        }
    }
}
