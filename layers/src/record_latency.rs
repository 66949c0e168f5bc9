//! Records the status and the latency of each answer.
//!
//! The layer does not depend on a metrics library: it calls a [`Record`]. Make it an outer layer, so that refusals are recorded too.
//!
//! ```
//! use gce_metadata_layers::{Answered, RecordLatencyLayer};
//! use http::{Request, Response};
//! use std::sync::{Arc, Mutex};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let statuses = Arc::new(Mutex::new(Vec::new()));
//! let seen = Arc::clone(&statuses);
//! let service = ServiceBuilder::new()
//!     .layer(RecordLatencyLayer::new(move |answered: &Answered<'_>| seen.lock().unwrap().push(answered.status)))
//!     .service(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
//! service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(*statuses.lock().unwrap(), [http::StatusCode::OK]);
//! # }
//! ```

use crate::path::MetadataPath;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower_layer::Layer;
use tower_service::Service;

/// The metrics label for the path of a request. The router, or a layer that refuses, puts it into the extensions of its response
/// if the path exists. Any other path must not become a label: a client could create as many as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathLabel {
    /// The path of the request.
    AsRequested,
    /// The path of the request with a slash at its end: it names a directory.
    WithoutSlash,
    /// This directory: clients choose the names below it.
    Below(&'static str),
}

/// One answer, for a [`Record`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Answered<'a> {
    /// The path of the request.
    pub path: MetadataPath<'a>,
    /// The label for the path; `None` if the path does not exist.
    pub label: Option<PathLabel>,
    /// The status of the answer.
    pub status: StatusCode,
    /// The time from the request to its answer, without the transfer of bodies. It includes the wait of a long poll.
    pub latency: Duration,
}

/// Records answers. Each `Fn(&Answered<'_>)` is a `Record`.
pub trait Record {
    /// Records one answer.
    fn record(&self, answered: &Answered<'_>);
}

impl<F: Fn(&Answered<'_>)> Record for F {
    fn record(&self, answered: &Answered<'_>) {
        self(answered);
    }
}

/// Adds [`RecordLatency`] to a service.
#[derive(Debug, Clone)]
pub struct RecordLatencyLayer<R> {
    record: R,
}

impl<R> RecordLatencyLayer<R> {
    /// A layer that calls this record.
    pub fn new(record: R) -> Self {
        Self { record }
    }
}

impl<S, R: Clone> Layer<S> for RecordLatencyLayer<R> {
    type Service = RecordLatency<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordLatency { inner, record: self.record.clone() }
    }
}

/// Calls a [`Record`] for each answer of the inner service.
#[derive(Debug, Clone)]
pub struct RecordLatency<S, R> {
    inner: S,
    record: R,
}

impl<R> RecordLatency<(), R> {
    /// The layer that adds this service: [`RecordLatencyLayer::new`].
    pub fn layer(record: R) -> RecordLatencyLayer<R> {
        RecordLatencyLayer::new(record)
    }
}

impl<S, R> RecordLatency<S, R> {
    inner_service_accessors!();
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for RecordLatency<S, R>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    R: Record + Clone,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Copied: the URI shares the server's read buffer, which must be freed while a long poll waits.
        let path = request.uri().path().into();
        let start = Instant::now();
        ResponseFuture { inner: self.inner.call(request), record: self.record.clone(), path, start }
    }
}

pin_project! {
    /// The future of [`RecordLatency`].
    #[derive(Debug)]
    pub struct ResponseFuture<F, R> {
        #[pin]
        inner: F,
        record: R,
        path: Box<str>,
        start: Instant,
    }
}

impl<F, R, B, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<Response<B>, E>>,
    R: Record,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = this.inner.poll(cx);
        // Read in place, because a response is large.
        if let Poll::Ready(Ok(response)) = &outcome {
            this.record.record(&Answered {
                path: MetadataPath::new(this.path),
                label: response.extensions().get().copied(),
                status: response.status(),
                latency: this.start.elapsed(),
            });
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::mock_exchange;
    use std::sync::{Arc, Mutex};

    #[tokio::test]
    async fn each_answer_is_recorded_once_with_its_path_label_and_status() {
        let recorded = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&recorded);
        let layer = RecordLatencyLayer::new(move |answered: &Answered<'_>| {
            let path = answered.path.as_str().to_owned();
            record.lock().unwrap().push((path, answered.label, answered.status.as_u16()));
        });
        let request = || Request::get("/computeMetadata//v1/instance?recursive=true").body(()).unwrap();
        let mut labelled = Response::builder().status(301).body(()).unwrap();
        labelled.extensions_mut().insert(PathLabel::WithoutSlash);
        mock_exchange(layer.clone(), request(), labelled).await;
        mock_exchange(layer, request(), Response::builder().status(404).body(()).unwrap()).await;
        let path = || "/computeMetadata/v1/instance".to_owned();
        assert_eq!(*recorded.lock().unwrap(), [(path(), Some(PathLabel::WithoutSlash), 301), (path(), None, 404)]);
    }
}
