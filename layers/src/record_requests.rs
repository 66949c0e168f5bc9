//! Tells a recorder about each request and its answer, for a journal of requests.
//!
//! The layer calls [`RecordRequest::begin`] with the head of a request, and [`RecordAnswer::end`] with the head of the answer. If the client
//! leaves before, the value of `begin` is dropped. Request bodies are captured while the inner service reads them, if the body type
//! supports it: see [`RecordRequestsLayer::capture_bodies`]. Bodies of answers are never recorded, because they can hold tokens.
//!
//! ```
//! use gce_metadata_layers::record_requests::{BegunRequest, EndedRequest, RecordAnswer, RecordRequest};
//! use gce_metadata_layers::RecordRequestsLayer;
//! use http::{Request, Response};
//! use std::sync::{Arc, Mutex};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Clone, Default)]
//! struct Log(Arc<Mutex<Vec<String>>>);
//!
//! struct Line(Log, String);
//!
//! impl RecordRequest for Log {
//!     type Begun = Line;
//!
//!     fn begin(&self, request: BegunRequest<'_>) -> Line {
//!         Line(self.clone(), request.uri.to_string())
//!     }
//! }
//!
//! impl RecordAnswer for Line {
//!     fn end(self, answer: EndedRequest<'_>) {
//!         self.0.0.lock().unwrap().push(format!("{} {}", self.1, answer.status));
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let log = Log::default();
//! let service = ServiceBuilder::new()
//!     .layer(RecordRequestsLayer::new(log.clone()))
//!     .service(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
//! service.oneshot(Request::get("/path").body(()).unwrap()).await.unwrap();
//! assert_eq!(*log.0.lock().unwrap(), ["/path 200 OK"]);
//! # }
//! ```

use crate::capture_body::CapturedBody;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tower_layer::Layer;
use tower_service::Service;

/// The head of a request, for a [`RecordRequest`].
#[derive(Debug)]
#[non_exhaustive]
pub struct BegunRequest<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target. Copy it if you keep it: it shares the server's read buffer.
    pub uri: &'a Uri,
    /// The HTTP version.
    pub version: Version,
    /// The headers. Copy them if you keep them, as [`uri`](Self::uri).
    pub headers: &'a HeaderMap,
    /// The extensions, such as the [`Connection`](crate::Connection).
    pub extensions: &'a Extensions,
    /// The body, as far as the inner service reads it; `None` if it is empty or not captured.
    pub body: Option<CapturedBody>,
}

/// The head of an answer, for a [`RecordAnswer`].
#[derive(Debug)]
#[non_exhaustive]
pub struct EndedRequest<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The extensions, by which inner layers report facts, such as [`PathLabel`](crate::PathLabel) and [`Waited`](crate::Waited).
    pub extensions: &'a Extensions,
    /// The time from the request to its answer, without the transfer of bodies.
    pub duration: Duration,
}

/// Records requests.
pub trait RecordRequest {
    /// A request that has begun. It is dropped without [`RecordAnswer::end`] if the client leaves before its answer.
    type Begun: RecordAnswer;

    /// Records the beginning of a request.
    fn begin(&self, request: BegunRequest<'_>) -> Self::Begun;
}

/// Records the answer to a request.
pub trait RecordAnswer {
    /// Records the answer.
    fn end(self, answer: EndedRequest<'_>);
}

/// Adds [`RecordRequests`] to a service whose requests have bodies of the type `B`.
#[derive(Debug)]
pub struct RecordRequestsLayer<R, B> {
    record: R,
    capture: fn(&mut B) -> Option<CapturedBody>,
}

impl<R, B> RecordRequestsLayer<R, B> {
    /// A layer that calls this recorder, and captures no bodies.
    pub fn new(record: R) -> Self {
        Self { record, capture: |_| None }
    }

    /// Captures bodies by this function, such as [`CaptureBody::capture`](crate::CaptureBody::capture).
    #[must_use]
    pub fn capture_bodies(self, capture: fn(&mut B) -> Option<CapturedBody>) -> Self {
        Self { capture, ..self }
    }
}

impl<R: Clone, B> Clone for RecordRequestsLayer<R, B> {
    fn clone(&self) -> Self {
        Self { record: self.record.clone(), capture: self.capture }
    }
}

impl<S, R: Clone, B> Layer<S> for RecordRequestsLayer<R, B> {
    type Service = RecordRequests<S, R, B>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordRequests { inner, record: self.record.clone(), capture: self.capture }
    }
}

/// Calls a [`RecordRequest`] for each request to the inner service.
#[derive(Debug)]
pub struct RecordRequests<S, R, B> {
    inner: S,
    record: R,
    capture: fn(&mut B) -> Option<CapturedBody>,
}

impl<R, B> RecordRequests<(), R, B> {
    /// The layer that adds this service: [`RecordRequestsLayer::new`].
    pub fn layer(record: R) -> RecordRequestsLayer<R, B> {
        RecordRequestsLayer::new(record)
    }
}

impl<S, R, B> RecordRequests<S, R, B> {
    inner_service_accessors!();
}

impl<S: Clone, R: Clone, B> Clone for RecordRequests<S, R, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), record: self.record.clone(), capture: self.capture }
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for RecordRequests<S, R, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: RecordRequest,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R::Begun>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let body = (self.capture)(request.body_mut());
        let begun = self.record.begin(BegunRequest {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
            body,
        });
        let start = Instant::now();
        ResponseFuture { inner: self.inner.call(request), begun: Some(begun), start }
    }
}

pin_project! {
    /// The future of [`RecordRequests`].
    #[derive(Debug)]
    pub struct ResponseFuture<F, R> {
        #[pin]
        inner: F,
        begun: Option<R>,
        start: Instant,
    }
}

impl<F, R, B, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<B>, E>>,
    R: RecordAnswer,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        if let Some(begun) = this.begun.take() {
            begun.end(EndedRequest {
                status: response.status(),
                headers: response.headers(),
                extensions: response.extensions(),
                duration: this.start.elapsed(),
            });
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture_body::CaptureBody;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};
    use tower::{ServiceExt, service_fn};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    struct Begun(Log, String, Option<CapturedBody>, bool);

    impl RecordRequest for Log {
        type Begun = Begun;

        fn begin(&self, request: BegunRequest<'_>) -> Begun {
            Begun(self.clone(), format!("{} {}", request.method, request.uri), request.body, false)
        }
    }

    impl RecordAnswer for Begun {
        fn end(mut self, answer: EndedRequest<'_>) {
            self.3 = true;
            let body = self.2.as_ref().map(CapturedBody::bytes).unwrap_or_default();
            let line = format!("{} {body:?}: {} {}", self.1, answer.status.as_u16(), answer.headers.len());
            self.0.0.lock().unwrap().push(line);
        }
    }

    impl Drop for Begun {
        fn drop(&mut self) {
            if !self.3 {
                self.0.0.lock().unwrap().push(format!("{}: unanswered", self.1));
            }
        }
    }

    fn request(body: &'static str) -> Request<CaptureBody<Full<Bytes>>> {
        Request::put("/path?query").body(CaptureBody::new(Full::from(body))).unwrap()
    }

    #[tokio::test]
    async fn a_request_is_recorded_with_its_body_and_its_answer() {
        let log = Log::default();
        let layer = RecordRequestsLayer::new(log.clone()).capture_bodies(CaptureBody::capture);
        let service = layer.layer(service_fn(async |request: Request<CaptureBody<Full<Bytes>>>| {
            request.into_body().collect().await?;
            Ok::<_, Infallible>(Response::builder().status(404).header("a", "b").body(()).unwrap())
        }));
        service.oneshot(request("value")).await.unwrap();
        assert_eq!(*log.0.lock().unwrap(), [r#"PUT /path?query b"value": 404 1"#]);
    }

    #[tokio::test]
    async fn a_request_whose_client_leaves_is_dropped_without_an_answer() {
        let log = Log::default();
        let service =
            RecordRequestsLayer::new(log.clone()).layer(service_fn(async |_: Request<CaptureBody<Full<Bytes>>>| {
                std::future::pending::<Result<Response<()>, Infallible>>().await
            }));
        drop(service.oneshot(request("")));
        assert!(log.0.lock().unwrap().is_empty(), "the request was not sent");
        let mut service =
            RecordRequestsLayer::new(log.clone()).layer(service_fn(async |_: Request<CaptureBody<Full<Bytes>>>| {
                std::future::pending::<Result<Response<()>, Infallible>>().await
            }));
        drop(service.call(request("")));
        assert_eq!(*log.0.lock().unwrap(), ["PUT /path?query: unanswered"]);
    }
}
