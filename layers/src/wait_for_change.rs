//! `wait_for_change=true`: an answer that comes when the value is another one.
//!
//! No endpoint knows of waiting. The layer asks the service below it, compares the entity tag with the one that the
//! client has (`last_etag`, or that of the first answer), and while they are equal sleeps until something has changed,
//! the client's `timeout_sec` is up, or the server stops. Time-out and stop give the current value with status 200. What
//! has no tag (a refusal, a deleted key) is answered at once.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{EtagLayer, WaitForChangeLayer};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tokio::sync::watch;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (writer, reader) = watch::channel("NONE");
//! let current = reader.clone();
//! let service = ServiceBuilder::new()
//!     .layer(WaitForChangeLayer::new(reader))
//!     .layer(EtagLayer::new())
//!     .service(service_fn(move |_: Request<()>| {
//!         let body = Full::<Bytes>::from(*current.borrow());
//!         async { Ok::<_, std::convert::Infallible>(Response::new(body)) }
//!     }));
//! let asking = service.clone().oneshot(Request::get("/event?wait_for_change=true").body(()).unwrap());
//! let change = async { writer.send("MIGRATE_ON_HOST_MAINTENANCE") };
//! let (answer, _) = tokio::join!(asking, change);
//! assert_eq!(answer.unwrap().headers()["etag"], gce_metadata_layers::entity_tag(b"MIGRATE_ON_HOST_MAINTENANCE"));
//! # }
//! ```

use crate::query::Query;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::uri::{self, Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, header, request};
use pin_project_lite::pin_project;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;

/// Adds [`WaitForChange`] to a service. All services made by one layer share its cap of waiters.
#[derive(Debug, Clone)]
pub struct WaitForChangeLayer<T> {
    changes: watch::Receiver<T>,
    stop: CancellationToken,
    waiters: Waiters,
}

/// Counts and limits the requests that wait. Clones share the count.
#[derive(Debug, Clone)]
pub struct Waiters {
    room: Arc<Semaphore>,
    max: usize,
}

impl Waiters {
    /// At most `max` requests may wait.
    pub fn at_most(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(max)), max }
    }

    /// The number of requests that wait now.
    pub fn count(&self) -> usize {
        self.max - self.room.available_permits()
    }
}

impl Default for Waiters {
    /// No limit.
    fn default() -> Self {
        Self::at_most(usize::MAX)
    }
}

impl<T> WaitForChangeLayer<T> {
    /// A layer that asks again whenever `changes` does. What it carries is never looked at. When its sender is gone,
    /// nothing can change any more and every waiter is answered.
    pub fn new(changes: watch::Receiver<T>) -> Self {
        Self { changes, stop: CancellationToken::new(), waiters: Waiters::default() }
    }

    /// Answers every waiter when `stop` is cancelled.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Counts and caps the requests that wait; one too many is answered 503. Without this there is no cap.
    #[must_use]
    pub fn waiters(self, waiters: Waiters) -> Self {
        Self { waiters, ..self }
    }
}

impl<S, T> Layer<S> for WaitForChangeLayer<T> {
    type Service = WaitForChange<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { changes, stop, waiters } = self;
        let shared = Shared { changes: changes.clone(), stop: stop.clone(), waiters: waiters.clone() };
        WaitForChange { inner, shared: Arc::new(shared) }
    }
}

/// What only a request that waits needs a copy of. Servers clone the service for each of the others too.
#[derive(Debug)]
struct Shared<T> {
    changes: watch::Receiver<T>,
    stop: CancellationToken,
    waiters: Waiters,
}

/// Holds a request with `wait_for_change=true` back until its answer has another entity tag.
#[derive(Debug)]
pub struct WaitForChange<S, T> {
    inner: S,
    shared: Arc<Shared<T>>,
}

impl<T> WaitForChange<(), T> {
    /// The layer that adds this service: [`WaitForChangeLayer::new`].
    pub fn layer(changes: watch::Receiver<T>) -> WaitForChangeLayer<T> {
        WaitForChangeLayer::new(changes)
    }
}

impl<S, T> WaitForChange<S, T> {
    inner_service_accessors!();
}

impl<S: Clone, T> Clone for WaitForChange<S, T> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, T, ReqBody, ResBody> Service<Request<ReqBody>> for WaitForChange<S, T>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    T: Send + Sync + 'static,
    ReqBody: Default + Send + 'static,
    ResBody: From<Bytes> + Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let query = Query::parse(request.uri().query());
        if !query.wait_for_change {
            return ResponseFuture { state: State::Direct { inner: self.inner.call(request) } };
        }
        // The instance that was polled ready takes the first call, and waits; its clone stays behind.
        let clone = self.inner.clone();
        let waiter = Waiter {
            inner: mem::replace(&mut self.inner, clone),
            changes: self.shared.changes.clone(),
            stop: self.shared.stop.clone(),
            waiters: self.shared.waiters.clone(),
        };
        ResponseFuture { state: State::Waiting { waiter: Box::pin(waiter.wait(query, request)) } }
    }
}

/// One request on its way to its answer. Dropping it, as a server does when the client leaves, frees its place.
struct Waiter<S, T> {
    inner: S,
    changes: watch::Receiver<T>,
    stop: CancellationToken,
    waiters: Waiters,
}

impl<S, T> Waiter<S, T> {
    async fn wait<ReqBody, ResBody>(
        mut self,
        query: Query,
        request: Request<ReqBody>,
    ) -> Result<Response<ResBody>, S::Error>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ReqBody: Default,
        ResBody: From<Bytes>,
    {
        let (parts, body) = request.into_parts();
        // Whatever happens from here on is a change: marked seen before the first answer is made, or one in between
        // would be lost.
        self.changes.mark_unchanged();
        let first = self.inner.call(Request::from_parts(parts.clone(), body)).await?;
        let Some(seen) = query.last_etag.or_else(|| tag_of(&first)) else { return Ok(first) };
        let deadline = query.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if tag_of(&first).as_deref() != Some(&seen) || query.timeout == Some(Duration::ZERO) {
            return Ok(first);
        }
        let Ok(_place) = Arc::clone(&self.waiters.room).try_acquire_owned() else {
            let head = RequestHead::from_request(Request::from_parts(parts, ()));
            return Ok(Rejection::Unavailable.into_response(&head));
        };
        // Ten thousand may wait: nothing is kept that is not needed again.
        drop(first);
        let parts = detached(parts);
        loop {
            let changed = tokio::select! {
                changed = self.changes.changed() => changed.is_ok(),
                () = self.stop.cancelled() => false,
                () = at(deadline) => false,
            };
            poll_fn(|cx| self.inner.poll_ready(cx)).await?;
            let response = self.inner.call(Request::from_parts(parts.clone(), ReqBody::default())).await?;
            if !changed || tag_of(&response).as_deref() != Some(&seen) {
                return Ok(response);
            }
        }
    }
}

/// Copies a head into memory of its own. The server parses heads in place: a head that waits would keep the server's read buffer,
/// and the server would allocate another.
#[expect(clippy::expect_used, reason = "the parts of a valid head are valid")]
fn detached(mut parts: request::Parts) -> request::Parts {
    let copy = |target: &PathAndQuery| target.as_str().to_owned().try_into().expect("a valid target");
    let target = parts.uri.path_and_query().map(copy);
    let copy = |authority: &Authority| authority.as_str().to_owned().try_into().expect("a valid authority");
    let authority = parts.uri.authority().map(copy);
    let mut uri = uri::Parts::default();
    (uri.scheme, uri.authority, uri.path_and_query) = (parts.uri.scheme().cloned(), authority, target);
    parts.uri = Uri::from_parts(uri).expect("the parts of a valid URI");
    for value in parts.headers.values_mut() {
        *value = HeaderValue::from_bytes(value.as_bytes()).expect("a valid header value");
    }
    parts
}

fn tag_of<B>(response: &Response<B>) -> Option<String> {
    response.headers().get(header::ETAG)?.to_str().ok().map(str::to_owned)
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

pin_project! {
    /// The future of [`WaitForChange`].
    pub struct ResponseFuture<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, B, E> {
        Direct { #[pin] inner: F },
        Waiting { waiter: BoxedAnswer<B, E> },
    }
}

/// Only a request that waits pays for a box.
type BoxedAnswer<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Direct { inner } => inner.poll(cx),
            Projected::Waiting { waiter } => waiter.as_mut().poll(cx),
        }
    }
}

#[cfg(test)]
mod tests;
