//! Injects faults: delays, answers, resets and closed connections instead of the usual answers, and changed bodies.
//!
//! A [`FaultPlan`] decides for each request. The layer knows neither metadata nor where the plan comes from, so it can stand around
//! any HTTP service:
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{FaultAction, FaultRequest, InjectFaultsLayer};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! // The first request for /token is answered 503.
//! let requests = AtomicU32::new(0);
//! let plan = move |request: &FaultRequest<'_>| {
//!     let is_first = request.uri.path() == "/token" && requests.fetch_add(1, Ordering::Relaxed) == 0;
//!     is_first.then(|| FaultAction::answer(Response::builder().status(503).body(Bytes::new()).unwrap()))
//! };
//! let service = ServiceBuilder::new().layer(InjectFaultsLayer::new(plan)).service(service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("value")))
//! }));
//! let ask = || service.clone().oneshot(Request::get("/token").body(()).unwrap());
//! assert_eq!(ask().await.unwrap().status(), 503);
//! assert_eq!(ask().await.unwrap().status(), 200);
//! # }
//! ```
//!
//! A reset, a closed connection and a changed body are marks in the extensions of the response: [`AbortConnection`],
//! [`CloseConnection`] and [`BodyFault`]. The server of gce-metadata-server acts on them. For other servers, put
//! [`FailAbortedLayer`] outside of this layer.

mod action;
mod delay;

pub use action::FaultAction;
pub use delay::FaultDelay;

#[cfg(doc)]
use crate::{AbortConnection, BodyFault, CloseConnection, FailAbortedLayer};

use crate::direct_or_boxed::DirectOrBoxed;
use crate::request_head::RequestHead;
use action::Outcome;
use bytes::Bytes;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri, Version};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;

/// The head of a request, for a [`FaultPlan`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct FaultRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The extensions, such as the [`Connection`](crate::Connection).
    pub extensions: &'a Extensions,
}

impl<'a> FaultRequest<'a> {
    /// The head of this request.
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The parts that an error page needs.
    pub fn head(&self) -> RequestHead {
        RequestHead::from_fault_request(self)
    }
}

/// Decides which requests get a fault.
pub trait FaultPlan {
    /// What to do to this request; `None` to answer it as usual.
    fn action(&self, request: &FaultRequest<'_>) -> Option<FaultAction>;
}

impl<F> FaultPlan for F
where
    F: Fn(&FaultRequest<'_>) -> Option<FaultAction>,
{
    fn action(&self, request: &FaultRequest<'_>) -> Option<FaultAction> {
        self(request)
    }
}

/// Adds [`InjectFaults`] to a service. All services made by one layer share the plan.
#[derive(Debug)]
pub struct InjectFaultsLayer<P> {
    plan: Arc<P>,
    stop: CancellationToken,
}

impl<P> InjectFaultsLayer<P> {
    /// A layer that asks this plan about each request.
    pub fn new(plan: P) -> Self {
        Self { plan: Arc::new(plan), stop: CancellationToken::new() }
    }

    /// Ends all delays when `stop` is cancelled, so that a server that stops does not wait for them.
    #[must_use]
    pub fn until(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }
}

impl<P> Clone for InjectFaultsLayer<P> {
    fn clone(&self) -> Self {
        Self { plan: Arc::clone(&self.plan), stop: self.stop.clone() }
    }
}

impl<S, P> Layer<S> for InjectFaultsLayer<P> {
    type Service = InjectFaults<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        InjectFaults { inner, plan: Arc::clone(&self.plan), stop: self.stop.clone() }
    }
}

/// Injects the faults of a [`FaultPlan`]. A request without a fault goes to the inner service as it is.
#[derive(Debug)]
pub struct InjectFaults<S, P> {
    inner: S,
    plan: Arc<P>,
    stop: CancellationToken,
}

impl<P> InjectFaults<(), P> {
    /// The layer that adds this service: [`InjectFaultsLayer::new`].
    pub fn layer(plan: P) -> InjectFaultsLayer<P> {
        InjectFaultsLayer::new(plan)
    }
}

impl<S, P> InjectFaults<S, P> {
    inner_service_accessors!();
}

impl<S: Clone, P> Clone for InjectFaults<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), plan: Arc::clone(&self.plan), stop: self.stop.clone() }
    }
}

impl<S, P, ReqBody, ResBody> Service<Request<ReqBody>> for InjectFaults<S, P>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Future: Send + 'static> + Clone + Send + 'static,
    P: FaultPlan,
    ReqBody: Send + 'static,
    ResBody: From<Bytes> + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = DirectOrBoxed<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let Some(action) = self.plan.action(&FaultRequest::of(&request)) else {
            return DirectOrBoxed::direct(self.inner.call(request));
        };
        let unready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, unready);
        DirectOrBoxed::boxed(inject(action, inner, request, self.stop.clone()))
    }
}

async fn inject<S, ReqBody, ResBody>(
    action: FaultAction,
    mut inner: S,
    request: Request<ReqBody>,
    stop: CancellationToken,
) -> Result<Response<ResBody>, S::Error>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    action.wait(&stop).await;
    let (outcome, marks) = action.into_outcome();
    let mut response = match outcome {
        Outcome::PassOn => inner.call(request).await?,
        Outcome::Answer(response) => response.map(ResBody::from),
    };
    response.extensions_mut().extend(marks);
    Ok(response)
}

#[cfg(test)]
mod tests;
