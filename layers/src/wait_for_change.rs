//! Long polls: `wait_for_change=true` delays the answer until the value has changed.
//!
//! Endpoints do not wait. The layer calls the inner service and compares the entity tag of its answer with that of the client
//! (`last_etag`, or else the tag of the first answer). While both are equal, the request waits: until the change signal wakes it and
//! the inner service is called again, until `timeout_sec` has passed, or until the server stops. After a time-out or a stop the answer
//! has the current value and status 200. An answer without an entity tag (a refusal, a deleted key) is returned at once.
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

mod changes;
mod record_waits;

pub use changes::{Changes, Subscription};
pub use record_waits::{BegunWait, RecordWaits};

use crate::direct_or_boxed::DirectOrBoxed;
use crate::query::Query;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::uri::{self, Authority, PathAndQuery};
use http::{HeaderValue, Request, Response, Uri, header, request};
use record_waits::RecordedWait;
use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;

/// Adds [`WaitForChange`] to a service. All services of one layer share its limit of waiters.
#[derive(Debug, Clone)]
pub struct WaitForChangeLayer<C> {
    changes: C,
    stop: CancellationToken,
    waiters: Waiters,
}

/// Counts and limits the requests that wait for a change (waiters). Clones share the count.
#[derive(Debug, Clone)]
pub struct Waiters {
    permits: Arc<Semaphore>,
    max: usize,
    recorder: Option<Arc<dyn RecordWaits>>,
}

impl Waiters {
    /// Lets at most `max` requests wait.
    pub fn at_most(max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(max)), max, recorder: None }
    }

    /// Records the requests that wait. By default nothing is recorded.
    #[must_use]
    pub fn record(self, recorder: Arc<dyn RecordWaits>) -> Self {
        Self { recorder: Some(recorder), ..self }
    }

    /// The number of requests that are waiting.
    pub fn count(&self) -> usize {
        self.max - self.permits.available_permits()
    }
}

impl Default for Waiters {
    /// No limit.
    fn default() -> Self {
        Self::at_most(usize::MAX)
    }
}

/// How long a request waited, and why it was answered then: an extension of the answers to requests that waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waited {
    /// The time that the request waited.
    pub time: Duration,
    /// The reason of the answer.
    pub ended_by: WaitEnd,
}

/// The reason why a waiting request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitEnd {
    /// The value has changed.
    Change,
    /// The time of `timeout_sec` was up.
    Timeout,
    /// The server stops.
    Stop,
}

impl<C: Changes> WaitForChangeLayer<C> {
    /// A layer that wakes waiting requests when `changes` does: a [`watch::Receiver`](tokio::sync::watch::Receiver), whose value is not
    /// used, or for the router of gce-metadata-routes `router.changes()`.
    ///
    /// The inner service must answer from the state behind `changes`: waiters do not wake when another state changes. When the sender of
    /// the channel is dropped, all waiters are answered.
    pub fn new(changes: C) -> Self {
        Self { changes, stop: CancellationToken::new(), waiters: Waiters::default() }
    }

    /// Answers all waiting requests when `stop` is cancelled, and later ones at once.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Counts and limits the waiting requests; one above the limit is answered 503. By default there is no limit.
    #[must_use]
    pub fn waiters(self, waiters: Waiters) -> Self {
        Self { waiters, ..self }
    }
}

impl<S, C: Clone> Layer<S> for WaitForChangeLayer<C> {
    type Service = WaitForChange<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { changes, stop, waiters } = self;
        let shared = Shared { changes: changes.clone(), stop: stop.clone(), waiters: waiters.clone() };
        WaitForChange { inner, shared: Arc::new(shared) }
    }
}

/// The state of a waiting request. It is shared, because servers clone the service for each request, and few wait.
#[derive(Debug)]
struct Shared<C> {
    changes: C,
    stop: CancellationToken,
    waiters: Waiters,
}

/// Delays the answer to a request with `wait_for_change=true` until its entity tag has changed.
#[derive(Debug)]
pub struct WaitForChange<S, C> {
    inner: S,
    shared: Arc<Shared<C>>,
}

impl<C: Changes> WaitForChange<(), C> {
    /// The layer that adds this service: [`WaitForChangeLayer::new`].
    pub fn layer(changes: C) -> WaitForChangeLayer<C> {
        WaitForChangeLayer::new(changes)
    }
}

impl<S, C> WaitForChange<S, C> {
    inner_service_accessors!();
}

impl<S: Clone, C> Clone for WaitForChange<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, C, ReqBody, ResBody> Service<Request<ReqBody>> for WaitForChange<S, C>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    C: Changes<Subscription: 'static> + Send + Sync + 'static,
    ReqBody: Default + Send + 'static,
    ResBody: From<Bytes> + Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = DirectOrBoxed<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let query = Query::parse(request.uri().query());
        if !query.wait_for_change {
            return DirectOrBoxed::direct(self.inner.call(request));
        }
        // The instance that was polled ready takes the first call, and waits; its clone stays behind.
        let clone = self.inner.clone();
        let (parts, body) = request.into_parts();
        let waiter = Waiter {
            inner: mem::replace(&mut self.inner, clone),
            // Before the first call: a change during it would be lost otherwise.
            changes: self.shared.changes.subscribe(&parts.uri),
            shared: Arc::clone(&self.shared),
            query,
            parts,
        };
        DirectOrBoxed::boxed(waiter.wait(body))
    }
}

/// One request that may wait. Dropping it, as a server does when the client disconnects, releases its permit.
struct Waiter<S, C: Changes> {
    inner: S,
    changes: C::Subscription,
    shared: Arc<Shared<C>>,
    query: Query,
    parts: request::Parts,
}

impl<S, C: Changes> Waiter<S, C> {
    #[expect(clippy::manual_async_fn, reason = "the future of an async function has room for its arguments twice")]
    fn wait<ReqBody, ResBody>(mut self, body: ReqBody) -> impl Future<Output = Result<Response<ResBody>, S::Error>>
    where
        S: Service<Request<ReqBody>, Response = Response<ResBody>>,
        ReqBody: Default,
        ResBody: From<Bytes>,
    {
        async move {
            let first = self.inner.call(Request::from_parts(self.parts.clone(), body)).await?;
            let Some(seen) = self.query.last_etag.or_else(|| tag_of(&first)) else { return Ok(first) };
            let timeout = self.query.timeout;
            if tag_of(&first).as_deref() != Some(&seen) || timeout == Some(Duration::ZERO) {
                return Ok(first);
            }
            let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            let Shared { waiters, stop, .. } = &*self.shared;
            let Ok(_permit) = Arc::clone(&waiters.permits).try_acquire_owned() else {
                let head = RequestHead::from_request(Request::from_parts(self.parts, ()));
                return Ok(Rejection::Unavailable.into_response(&head));
            };
            // Ten thousand requests may wait, so a waiter keeps as little memory as possible.
            drop(first);
            detach(&mut self.parts);
            let recorded = waiters.recorder.as_ref().map(|recorder| {
                let (uri, extensions) = (&self.parts.uri, &self.parts.extensions);
                RecordedWait::begin(recorder, BegunWait { uri, extensions, last_etag: &seen, timeout })
            });
            let start = Instant::now();
            loop {
                let ended_by = tokio::select! {
                    changed = self.changes.changed() => if changed { WaitEnd::Change } else { WaitEnd::Stop },
                    () = stop.cancelled() => WaitEnd::Stop,
                    () = at(deadline) => WaitEnd::Timeout,
                };
                poll_fn(|cx| self.inner.poll_ready(cx)).await?;
                let request = Request::from_parts(self.parts.clone(), ReqBody::default());
                let mut response = self.inner.call(request).await?;
                if ended_by != WaitEnd::Change || tag_of(&response).as_deref() != Some(&seen) {
                    response.extensions_mut().insert(Waited { time: start.elapsed(), ended_by });
                    if let Some(recorded) = recorded {
                        recorded.end(ended_by);
                    }
                    return Ok(response);
                }
            }
        }
    }
}

/// Copies a head out of the server's read buffer. A server parses heads in place: a waiting one would keep the buffer alive, and the
/// server would allocate another.
#[expect(clippy::expect_used, reason = "the parts of a valid head are valid")]
fn detach(parts: &mut request::Parts) {
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

#[cfg(test)]
mod tests;
