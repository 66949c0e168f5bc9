//! A span for each request and a log line for its answer, at level DEBUG.

use gce_metadata_layers::Connection;
use http::{Request, Response};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;
use tower::{Layer, Service};
use tracing::Span;

/// Adds [`TraceRequests`] to a service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TraceRequestsLayer;

impl<S> Layer<S> for TraceRequestsLayer {
    type Service = TraceRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceRequests { inner }
    }
}

/// Runs each request in a span, and logs the status and the latency of its answer.
#[derive(Debug, Clone)]
pub(crate) struct TraceRequests<S> {
    inner: S,
}

/// The span has the path without the query, because audiences, scopes and tags must not reach a log.
fn span<B>(request: &Request<B>) -> Span {
    let connection = request.extensions().get::<Connection>();
    let remote = connection.and_then(|connection| connection.remote).map(tracing::field::display);
    let peer = connection.and_then(|connection| connection.peer.as_deref()).map(|peer| peer.subject.as_str());
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), remote, peer)
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TraceRequests<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let span = span(&request);
        // The clock is read only if the span is enabled.
        let start = (!span.is_disabled()).then(Instant::now);
        let inner = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        ResponseFuture { inner, span, start }
    }
}

pin_project! {
    /// The future of [`TraceRequests`].
    #[derive(Debug)]
    pub(crate) struct ResponseFuture<F> {
        #[pin]
        inner: F,
        span: Span,
        start: Option<Instant>,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        // Not `Instrumented`, which would move the inner future once more.
        let _entered = this.span.enter();
        let outcome = this.inner.poll(cx);
        if let (Poll::Ready(Ok(response)), Some(start)) = (&outcome, this.start) {
            let (status, latency_seconds) = (response.status().as_u16(), start.elapsed().as_secs_f64());
            tracing::debug!(status, latency_seconds, "answered");
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_log::CapturedLog;
    use gce_metadata_layers::PeerIdentity;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    #[tokio::test]
    async fn a_request_is_logged_in_its_span_without_its_query() {
        let log = CapturedLog::start();
        let service = TraceRequestsLayer.layer(service_fn(async |_: Request<()>| {
            tracing::debug!("at work");
            Ok::<_, Infallible>(Response::builder().status(404).body(()).unwrap())
        }));
        let mut peer = PeerIdentity::default();
        peer.subject = "CN=vm".into();
        let connection = Connection::from_remote(([127, 0, 0, 1], 1).into()).with_peer(peer);
        let request = Request::get("/path?audience=hidden").extension(connection).body(()).unwrap();
        assert_eq!(service.oneshot(request).await.unwrap().status(), 404);
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let span = r#"request{method=GET path="/path" remote=127.0.0.1:1 peer="CN=vm"}: "#;
        assert!(lines[0].contains(span) && lines[0].ends_with(": at work"), "{lines:?}");
        assert!(lines[1].contains(span) && lines[1].contains(": answered status=404 latency_seconds="), "{lines:?}");
    }

    #[tokio::test]
    async fn the_clock_is_not_read_if_the_span_is_disabled() {
        // A subscriber for this test only, so that those of other tests do not matter.
        let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let mut service =
            TraceRequestsLayer.layer(service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(()))));
        let answer = service.call(Request::new(()));
        assert_eq!(answer.start, None);
        answer.await.unwrap();
    }
}
