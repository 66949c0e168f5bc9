//! From a socket to the stack: accept, a task per connection, hyper, drain.

use super::Lifecycle;
use super::body::IncomingBody;
use super::listener::Listener;
use super::open_connections::OpenConnections;
use super::socket::Socket;
use super::threads::ConnectionThreads;
use super::tls::{Peer, PlainPeer, Tls};
use bytes::Bytes;
use gce_metadata_layers::{AbortConnection, Connection, ConnectionError, Query, Rejection, RequestHead};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::io;
use std::iter;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower::{BoxError, Service};

/// How long a stopping server waits for the rest of a request that has only begun.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// What a client may use up.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    pub(super) connections: OpenConnections,
    pub(super) header_bytes: usize,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
}

/// Serves whoever connects until the server stops.
pub(super) fn spawn<S, B>(
    listener: Listener,
    tls: Option<Tls>,
    service: S,
    limits: ConnectionLimits,
    threads: ConnectionThreads,
    lifecycle: &Lifecycle,
) where
    S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    lifecycle.tasks.spawn(accept(listener, tls, service, limits, threads, lifecycle.clone()));
}

async fn accept<S, B>(
    listener: Listener,
    tls: Option<Tls>,
    service: S,
    limits: ConnectionLimits,
    threads: ConnectionThreads,
    lifecycle: Lifecycle,
) where
    S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut http = http1::Builder::new();
    // `pipeline_flush` would speed up pipelining, which no client of a metadata server does, and swallow hyper's 400s.
    http.timer(TokioTimer::new())
        // Also closes a connection that is idle for so long. A long poll is not idle.
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes)
        // A client may close its sending side after its request, as `nc -N` does, and still wait for the answer.
        .half_close(true)
        .title_case_headers(true);
    let ConnectionLimits { connections, header_timeout, write_timeout, .. } = limits;
    let server = Arc::new(Connections { http, tls, header_timeout, write_timeout, lifecycle: lifecycle.clone() });
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = lifecycle.stop.cancelled() => return,
        };
        let (accepted, connection) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                // Trying at once again would only burn time. Other errors are those of one client, and the next one
                // may have more luck.
                if is_out_of_files(&error) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
        };
        // At the cap nothing more is accepted: clients queue in the kernel instead of in memory.
        let permit = tokio::select! {
            permit = connections.acquire() => permit,
            () = lifecycle.stop.cancelled() => return,
        };
        let (server, service) = (Arc::clone(&server), service.clone());
        threads.spawn(async move {
            match accepted.open() {
                Ok(socket) => server.serve(socket, connection, service).await,
                Err(error) => tracing::warn!("a connection could not be served: {error}"),
            }
            drop(permit);
        });
    }
}

/// Whether the process, or the system, has no file descriptor left. There is no kind of error for that.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// What all connections of a listener have in common.
struct Connections {
    http: http1::Builder,
    tls: Option<Tls>,
    header_timeout: Duration,
    write_timeout: Duration,
    lifecycle: Lifecycle,
}

impl Connections {
    /// One connection from its first byte to its last.
    async fn serve<S, B>(&self, socket: Socket, connection: Connection, service: S)
    where
        S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        match &self.tls {
            None if self.has_begun(&socket).await => {
                self.serve_http(self.timed(&socket), socket, connection, PlainPeer, service).await
            }
            None => {}
            // Boxed, so that the many that are not encrypted need no room for it.
            Some(tls) => Box::pin(self.serve_https(tls, socket, connection, service)).await,
        }
    }

    /// Waits for the first byte: hyper allocates its buffers, 16 KiB, before it looks for one. A client that sends nothing
    /// for as long as the head of a request may take is cut off.
    async fn has_begun(&self, socket: &Socket) -> bool {
        let readable = timeout(self.header_timeout, socket.readable());
        matches!(self.lifecycle.stop.run_until_cancelled(readable).await, Some(Ok(())))
    }

    async fn serve_https<S, B>(&self, tls: &Tls, socket: Socket, connection: Connection, service: S)
    where
        S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // Each in a box of its own: what a handshake takes is gone after it.
        let handshake = Box::pin(tls.accept(self.timed(&socket), connection));
        let accepted = self.lifecycle.stop.run_until_cancelled(handshake).await.flatten();
        let Some(accepted) = accepted else { return };
        let (stream, connection, peer) = (Box::pin(accepted.stream), accepted.connection, accepted.peer);
        Box::pin(self.serve_http(stream, socket, connection, peer, service)).await;
    }

    /// The socket for those who read and write it, with an end to a write that gets nowhere.
    fn timed(&self, socket: &Socket) -> Pin<Box<TimeoutStream<Socket>>> {
        let mut io = TimeoutStream::new(socket.clone());
        io.set_write_timeout(Some(self.write_timeout));
        Box::pin(io)
    }

    async fn serve_http<IO, P, S, B>(&self, io: IO, socket: Socket, connection: Connection, peer: P, service: S)
    where
        IO: AsyncRead + AsyncWrite + Unpin,
        P: Peer,
        S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // A connection has one request at a time, so they can share what would else be cloned for each.
        let service = Arc::new(Mutex::new(service));
        let watched = socket.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(IncomingBody::from);
            let mut connection = connection.clone();
            let trusted = peer.is_trusted().then(|| peer.clone());
            if trusted.is_none() {
                connection.peer = None;
            }
            request.extensions_mut().insert(connection);
            answer(watched.clone(), Arc::clone(&service), request, trusted)
        });
        // A token of its own: looking at the one that all share takes a lock that all would wait for.
        let stop = self.lifecycle.stop.child_token();
        let mut serving = pin!(self.http.serve_connection(TokioIo::new(io), service));
        let outcome = tokio::select! {
            biased;
            outcome = serving.as_mut() => outcome,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    outcome = serving => outcome,
                    () = self.lifecycle.abort.cancelled() => return,
                    () = half_a_request(&socket) => return,
                }
            }
        };
        if let Err(error) = outcome {
            if is_abort(&error) {
                socket.reset_on_close();
            }
            // A client that leaves early or speaks no HTTP is its own affair.
            tracing::debug!("connection ended: {error}");
        }
    }
}

/// Why a request is not answered.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    /// The client disconnected before its answer was ready.
    #[error("the client has disconnected")]
    ClientLeft,
    /// The client's certificate was revoked, or has expired, before its answer was ready.
    #[error("the client is no longer trusted")]
    Distrusted,
    /// A layer aborts the connection.
    #[error("the connection is aborted by a layer")]
    Aborted,
}

/// The answer to a request. If the client disconnects or loses its trust first, the request is dropped. A client that was not
/// trusted when it sent the request (`None`) has no identity in it, so that it is answered 403, and its connection is closed
/// with that answer.
///
/// The service is called when hyper polls this future, not before: hyper closes the connection if the request's body is
/// dropped before hyper has looked for it.
async fn answer<S, B, P>(
    socket: Socket,
    service: Arc<Mutex<S>>,
    request: Request<IncomingBody>,
    trusted: Option<P>,
) -> Result<Response<Either<B, Full<Bytes>>>, Unanswered>
where
    P: Peer,
    S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible>,
{
    if !has_valid_host(&request) {
        return Ok(bad_request(request).map(Either::Right));
    }
    // A FIN means that the client has closed its sending side, or all of the connection: TCP can't tell which. Most answers are
    // ready soon, so the client is taken to wait for them. A long poll would keep its place for ever if the client had left.
    let is_long_poll = request.uri().query().is_some_and(|query| Query::parse(Some(query)).wait_for_change);
    socket.set_answering(true);
    // Pinned where it is made, for it is large.
    let mut answering = pin!(async {
        let lock = || service.lock().unwrap_or_else(PoisonError::into_inner);
        poll_fn(|cx| lock().poll_ready(cx)).await?;
        let answer = lock().call(request);
        answer.await
    });
    let mut outcome = tokio::select! {
        biased;
        Ok(answer) = &mut answering => Ok(answer.map(Either::Left)),
        () = socket.read_closed(), if is_long_poll => Err(Unanswered::ClientLeft),
        () = socket.reset(), if !is_long_poll => Err(Unanswered::ClientLeft),
        () = distrusted(trusted.as_ref()) => Err(Unanswered::Distrusted),
    };
    if trusted.is_none()
        && let Ok(answer) = &mut outcome
    {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Ok(answer) = &outcome
        && answer.extensions().get::<AbortConnection>().is_some()
    {
        socket.reset_on_close();
        outcome = Err(Unanswered::Aborted);
    }
    socket.set_answering(false);
    outcome
}

/// Whether a response's body aborted the connection, after the head or a part of the body was sent.
fn is_abort(error: &hyper::Error) -> bool {
    let causes = iter::successors(error.source(), |&error| error.source());
    causes.filter_map(|error| error.downcast_ref()).any(|error| matches!(error, ConnectionError::Abort))
}

/// Whether a request has one `Host`, as RFC 9112 demands of HTTP/1.1. HTTP/1.0 has requests without it.
fn has_valid_host<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

/// 400, after which the connection is closed.
fn bad_request<B>(request: Request<B>) -> Response<Full<Bytes>> {
    let mut response = Rejection::BadRequest.into_response(&RequestHead::from_request(request));
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

async fn distrusted<P: Peer>(trusted: Option<&P>) {
    match trusted {
        Some(peer) => peer.distrusted().await,
        None => pending().await,
    }
}

/// Comes back when a stopping server has waited long enough for the rest of a request.
async fn half_a_request(socket: &Socket) {
    tokio::time::sleep(LAST_REQUEST).await;
    if socket.is_busy() {
        pending().await
    }
}

#[cfg(test)]
mod tests;
