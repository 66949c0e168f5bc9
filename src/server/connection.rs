//! Serves connections: accept, a task per connection, hyper, drain.

use super::Lifecycle;
use super::body::IncomingBody;
use super::ends_with_client::{EndsWithClient, UntilClientLeaves};
use super::entrance::{Entrance, Resets};
use super::open_connections::OpenConnections;
use super::socket::Socket;
use super::threads::ConnectionThreads;
use super::tls::{Peer, PlainPeer, Tls};
use bytes::Bytes;
use gce_metadata_layers::{
    AbortConnection, BodyFault, CloseConnection, Connection, ConnectionError, FaultableBody, Query, Rejection,
    RequestHead,
};
use http::{Extensions, HeaderValue, Request, Response, Version, header};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::io;
use std::iter;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;
use tower::{BoxError, Service};

/// How long a stopping server waits for the rest of a partial request.
const PARTIAL_REQUEST: Duration = Duration::from_secs(1);

/// How long a client that has closed its sending side is assumed to wait for its answer.
const HALF_CLOSED: Duration = Duration::from_secs(10);

/// Limits on the connections of a listener.
#[derive(Debug, Clone)]
pub(super) struct ConnectionLimits {
    pub(super) connections: OpenConnections,
    pub(super) header_bytes: usize,
    pub(super) header_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) busy_poll: Duration,
}

/// Accepts and serves connections until the server stops.
pub(super) fn spawn<S, B>(
    entrance: Entrance,
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
    lifecycle.tasks.spawn(accept(entrance, tls, service, limits, threads, lifecycle.clone()));
}

async fn accept<S, B>(
    mut entrance: Entrance,
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
    // Without `pipeline_flush`: it speeds up pipelining, which no metadata client does, and suppresses hyper's 400 answers.
    http.timer(TokioTimer::new())
        // Also the idle timeout. A long poll is not idle.
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes)
        // A client may close its sending side after the request, as `nc -N` does, and wait for the answer.
        .half_close(true)
        .title_case_headers(true);
    let ConnectionLimits { connections, header_timeout, write_timeout, busy_poll, .. } = limits;
    let server = Arc::new(Connections { http, tls, header_timeout, write_timeout, lifecycle: lifecycle.clone() });
    loop {
        let accepted = tokio::select! {
            accepted = entrance.accept() => accepted,
            () = lifecycle.stop.cancelled() => return,
        };
        let (accepted, connection) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                // Accepting again at once would fail again. Other errors concern one client only.
                if is_out_of_files(&error) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                continue;
            }
        };
        // At the limit no connection is accepted: further clients wait in the kernel's accept queue.
        let permit = tokio::select! {
            permit = connections.acquire() => permit,
            () = entrance.refused() => {
                accepted.reset();
                continue;
            }
            () = lifecycle.stop.cancelled() => return,
        };
        let (server, service, resets) = (Arc::clone(&server), service.clone(), entrance.resets());
        threads.spawn(async move {
            match accepted.open(busy_poll) {
                Ok(socket) => tokio::select! {
                    biased;
                    () = server.serve(socket.clone(), connection, service) => {}
                    () = Resets::reset(resets.as_ref(), &socket) => {}
                },
                Err(error) => tracing::warn!("a connection could not be served: {error}"),
            }
            drop((resets, permit));
        });
    }
}

/// Whether the process or the system is out of file descriptors, for which `io::ErrorKind` has no variant.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// The settings that all connections of a listener share.
struct Connections {
    http: http1::Builder,
    tls: Option<Tls>,
    header_timeout: Duration,
    write_timeout: Duration,
    lifecycle: Lifecycle,
}

impl Connections {
    /// Serves one connection until it ends.
    async fn serve<S, B>(&self, socket: Socket, connection: Connection, service: S)
    where
        S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        match &self.tls {
            None if self.has_data(&socket).await => {
                self.serve_http(self.timed(&socket), socket, connection, PlainPeer, service).await
            }
            None => {}
            // Boxed, so that the futures of plain connections stay small.
            Some(tls) => Box::pin(self.serve_https(tls, socket, connection, service)).await,
        }
    }

    /// Waits for the first byte, because hyper allocates 16 KiB of buffers before it reads. Returns whether it arrived before the
    /// header timeout.
    async fn has_data(&self, socket: &Socket) -> bool {
        let readable = timeout(self.header_timeout, socket.readable());
        matches!(self.lifecycle.stop.run_until_cancelled(readable).await, Some(Ok(())))
    }

    async fn serve_https<S, B>(&self, tls: &Tls, socket: Socket, connection: Connection, service: S)
    where
        S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible> + Send + 'static,
        S::Future: Send,
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        // Boxed separately, so that the memory of the handshake is freed after it.
        let handshake = Box::pin(tls.accept(self.timed(&socket), connection));
        let accepted = self.lifecycle.stop.run_until_cancelled(handshake).await.flatten();
        let Some(accepted) = accepted else { return };
        let (stream, connection, peer) = (Box::pin(accepted.stream), accepted.connection, accepted.peer);
        Box::pin(self.serve_http(stream, socket, connection, peer, service)).await;
    }

    /// The socket with a timeout for writes that make no progress.
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
        let exchange = Arc::new(Exchange {
            socket: socket.clone(),
            connection,
            service: Mutex::new(service),
            extensions: Mutex::default(),
        });
        let service = service_fn(move |request: Request<Incoming>| {
            let trusted = peer.is_trusted().then(|| peer.clone());
            let request = exchange.begin(request, trusted.is_some());
            answer(Arc::clone(&exchange), request, trusted)
        });
        // A child token, because waiting on the shared token takes a lock that all connections contend for.
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
                    () = partial_request_timeout(&socket) => return,
                }
            }
        };
        if let Err(error) = outcome {
            if is_abort(&error) {
                socket.reset_on_close();
            }
            // At debug level, because the client disconnected early or does not speak HTTP.
            tracing::debug!("connection ended: {error}");
        }
    }
}

/// The reason why a request gets no answer.
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
    /// A layer closes the connection.
    #[error("the connection is closed by a layer")]
    Closed,
}

/// The requests of a connection, of which there is one at a time.
struct Exchange<S> {
    socket: Socket,
    connection: Connection,
    service: Mutex<S>,
    /// The extensions of the last response, which were those of its request too. The next request gets them, so that only the first
    /// one allocates their map.
    extensions: Mutex<Extensions>,
}

impl<S> Exchange<S> {
    /// Puts the connection into the extensions of a request; without its identity if the client is not trusted.
    fn begin(&self, request: Request<Incoming>, is_trusted: bool) -> Request<IncomingBody> {
        let mut extensions = mem::take(&mut *self.extensions());
        extensions.clear();
        let mut connection = self.connection.clone();
        if !is_trusted {
            connection.peer = None;
        }
        extensions.insert(connection);
        let mut request = request.map(IncomingBody::from);
        let own = mem::replace(request.extensions_mut(), extensions);
        if !own.is_empty() {
            // hyper's, such as that of an upgrade.
            request.extensions_mut().extend(own);
        }
        request
    }

    fn extensions(&self) -> MutexGuard<'_, Extensions> {
        self.extensions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn service(&self) -> MutexGuard<'_, S> {
        self.service.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers a request. If the client disconnects, or is no longer trusted, before the answer is ready, the request is dropped. If
/// `trusted` is `None`, the request has no client identity: it is answered 403, and the connection is closed after the answer.
///
/// The service is called when hyper polls this future and not earlier: hyper closes the connection if the request's body is
/// dropped before hyper has polled for it.
#[expect(clippy::manual_async_fn, reason = "the future of an async function has room for its arguments twice")]
fn answer<S, B, P>(
    exchange: Arc<Exchange<S>>,
    request: Request<IncomingBody>,
    trusted: Option<P>,
) -> impl Future<Output = Result<Response<SentBody<B>>, Unanswered>>
where
    P: Peer,
    S: Service<Request<IncomingBody>, Response = Response<B>, Error = Infallible>,
    B: Body,
{
    async move {
        if !has_valid_host(&request) {
            return Ok(bad_request(request).map(Either::Right));
        }
        let socket = &exchange.socket;
        // A FIN means that the client has closed its sending side or the whole connection; TCP does not tell which. Most answers are
        // ready soon, so the server assumes that the client waits for them. For a long poll it assumes that the client has left:
        // otherwise the request could keep its waiter slot for ever. Other requests are dropped some time after a FIN, because a fault
        // may delay their answers for ever.
        let is_long_poll = request.uri().query().is_some_and(|query| Query::parse(Some(query)).wait_for_change);
        socket.set_answering(true);
        // Pinned in place, because it is large.
        let mut answering = pin!(async {
            poll_fn(|cx| exchange.service().poll_ready(cx)).await?;
            let answer = exchange.service().call(request);
            answer.await
        });
        let outcome = tokio::select! {
            biased;
            Ok(answer) = &mut answering => Ok(answer),
            () = client_left(socket, is_long_poll) => Err(Unanswered::ClientLeft),
            () = distrusted(trusted.as_ref()) => Err(Unanswered::Distrusted),
        };
        socket.set_answering(false);
        let mut answer = outcome?;
        if trusted.is_none() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let extensions = answer.extensions_mut();
        if extensions.get::<AbortConnection>().is_some() {
            socket.reset_on_close();
            return Err(Unanswered::Aborted);
        }
        if extensions.get::<CloseConnection>().is_some() {
            return Err(Unanswered::Closed);
        }
        let fault = extensions.get::<BodyFault>().copied();
        let ends_with_client = extensions.get::<EndsWithClient>().is_some();
        // The only extension that hyper reads.
        if extensions.get::<ReasonPhrase>().is_none() {
            *exchange.extensions() = mem::take(extensions);
        }
        Ok(answer.map(|body| {
            let body = match ends_with_client {
                true => Either::Right(UntilClientLeaves::new(body, socket.clone())),
                false => Either::Left(body),
            };
            Either::Left(FaultableBody::new(body, fault))
        }))
    }
}

/// A body of the service, or that of a response of the connection code.
type SentBody<B> = Either<FaultableBody<MaybeStream<B>>, Full<Bytes>>;

/// A body that may end when the client leaves.
type MaybeStream<B> = Either<B, UntilClientLeaves<B>>;

/// Completes when the client has disconnected, or is assumed to have.
async fn client_left(socket: &Socket, is_long_poll: bool) {
    socket.read_closed().await;
    if !is_long_poll {
        // A reset is certain; a FIN is not.
        let _ = timeout(HALF_CLOSED, socket.reset()).await;
    }
}

/// Whether the response body aborted the connection after a part of the response was sent.
fn is_abort(error: &hyper::Error) -> bool {
    let causes = iter::successors(error.source(), |&error| error.source());
    causes.filter_map(|error| error.downcast_ref()).any(|error| matches!(error, ConnectionError::Abort))
}

/// Whether a request has exactly one `Host`, as RFC 9112 requires of HTTP/1.1. HTTP/1.0 allows requests without it.
fn has_valid_host<B>(request: &Request<B>) -> bool {
    match request.headers().iter().filter(|(name, _)| *name == header::HOST).count() {
        0 => request.version() < Version::HTTP_11,
        count => count == 1,
    }
}

/// Status 400. The connection is closed after it.
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

/// Completes when a stopping server has waited long enough for the rest of a request. Never completes during a whole one.
async fn partial_request_timeout(socket: &Socket) {
    tokio::time::sleep(PARTIAL_REQUEST).await;
    if socket.is_busy() {
        pending().await
    }
}

#[cfg(test)]
mod tests;
