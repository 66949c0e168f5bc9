//! A span and a line in the log for each request, by tower-http, while somebody reads them.
//!
//! Its middleware looks at the clock six times a request and wraps the body, reader or not. Few have a log that fine, so a
//! request that nobody would read of goes by it.

use gce_metadata_layers::Connection;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use pin_project_lite::pin_project;
use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower::{Layer, Service};
use tower_http::trace::TraceLayer;
use tracing::Span;

/// Adds [`TraceRequests`] to a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct TraceRequestsLayer;

impl<S> Layer<S> for TraceRequestsLayer {
    type Service = TraceRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceRequests { inner }
    }
}

/// Has tower-http trace what somebody reads of.
#[derive(Debug, Clone)]
pub(super) struct TraceRequests<S> {
    inner: S,
}

/// Path only: a query holds audiences, scopes and tags, none of which belongs in a log.
fn span<B>(request: &Request<B>) -> Span {
    let connection = request.extensions().get::<Connection>();
    let remote = connection.and_then(|connection| connection.remote).map(tracing::field::display);
    let peer = connection.and_then(|connection| connection.peer.as_deref()).map(|peer| peer.subject.as_str());
    tracing::debug_span!("request", method = %request.method(), path = request.uri().path(), remote, peer)
}

fn log_answer<B>(response: &Response<B>, latency: Duration, _: &Span) {
    tracing::debug!(status = response.status().as_u16(), seconds = latency.as_secs_f64(), "answered");
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TraceRequests<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Display + 'static, Future: Send + 'static>,
    ReqBody: Body,
    ResBody: Body<Data: Send, Error: Display + 'static> + Send + 'static,
{
    type Response = Response<TracedBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let span = span(&request);
        if span.is_disabled() {
            return ResponseFuture::Untraced { inner: self.inner.call(request) };
        }
        let layer = TraceLayer::new_for_http().make_span_with(move |_: &Request<ReqBody>| span.clone()).on_request(());
        let layer = layer.on_response(log_answer).on_body_chunk(()).on_eos(()).on_failure(());
        let answer = layer.layer(&mut self.inner).call(request);
        let boxed = async move { Ok(answer.await?.map(|body| TracedBody::Traced { body: body.boxed_unsync() })) };
        ResponseFuture::Traced { inner: Box::pin(boxed) }
    }
}

pin_project! {
    /// The future of [`TraceRequests`].
    #[project = Projected]
    pub(super) enum ResponseFuture<F, B: Body, E> {
        Untraced { #[pin] inner: F },
        // Boxed, and so is the body, so that those who are not traced need no room for it.
        Traced { inner: Pin<Box<dyn Future<Output = Result<Response<TracedBody<B>>, E>> + Send>> },
    }
}

impl<F, B, E> Future for ResponseFuture<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<TracedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Untraced { inner } => {
                let response = ready!(inner.poll(cx))?;
                Poll::Ready(Ok(response.map(|body| TracedBody::Untraced { body })))
            }
            Projected::Traced { inner } => inner.as_mut().poll(cx),
        }
    }
}

pin_project! {
    /// The inner service's body. A span lasts as long as it does.
    #[project = ProjectedBody]
    pub(super) enum TracedBody<B: Body> {
        Untraced { #[pin] body: B },
        Traced { body: UnsyncBoxBody<B::Data, B::Error> },
    }
}

impl<B: Body> Body for TracedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            ProjectedBody::Untraced { body } => body.poll_frame(cx),
            ProjectedBody::Traced { body } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Untraced { body } => body.is_end_stream(),
            Self::Traced { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Untraced { body } => body.size_hint(),
            Self::Traced { body } => body.size_hint(),
        }
    }
}
