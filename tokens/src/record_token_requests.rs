//! Reports each request for a token and its outcome to [`TokenEvents`](super::TokenEvents), cache hits included.

use super::events::{SharedTokenEvents, TokenOutcome};
use super::token_request::TokenRequest;
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::TokenError;
use pin_project_lite::pin_project;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Adds [`RecordTokenRequests`] to a token service.
#[derive(Clone)]
pub(super) struct RecordTokenRequestsLayer {
    source: &'static str,
    /// `None` if the events are ignored. A cached token is then served without reading the clock for them.
    events: Option<SharedTokenEvents>,
}

impl RecordTokenRequestsLayer {
    /// Reports requests to `source` to `events`.
    pub(super) fn new(source: &'static str, events: SharedTokenEvents) -> Self {
        let events = if events.ignores_requests() { None } else { Some(events) };
        Self { source, events }
    }
}

impl<S> Layer<S> for RecordTokenRequestsLayer {
    type Service = RecordTokenRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordTokenRequests { inner, source: self.source, events: self.events.clone() }
    }
}

/// Reports each answer of the inner service.
#[derive(Clone)]
pub(super) struct RecordTokenRequests<S> {
    inner: S,
    source: &'static str,
    events: Option<SharedTokenEvents>,
}

impl<S> RecordTokenRequests<S> {
    /// The inner service.
    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, R> Service<R> for RecordTokenRequests<S>
where
    S: Service<R, Response = R::Token, Error: Into<TokenError>>,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = TokenError;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let recording = self.events.as_ref().map(|events| Recording {
            account: Arc::clone(request.account()),
            source: self.source,
            events: Arc::clone(events),
            start: Instant::now(),
        });
        ResponseFuture { inner: self.inner.call(request), recording, kind: PhantomData }
    }
}

pin_project! {
    /// The future of [`RecordTokenRequests`].
    pub(super) struct ResponseFuture<F, R> {
        #[pin]
        inner: F,
        recording: Option<Recording>,
        kind: PhantomData<fn(R)>,
    }
}

/// A request whose outcome will be reported.
struct Recording {
    account: Arc<ServiceAccount>,
    source: &'static str,
    events: SharedTokenEvents,
    start: Instant,
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<R::Token, E>>,
    R: TokenRequest,
    E: Into<TokenError>,
{
    type Output = Result<R::Token, TokenError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx)).map_err(Into::into);
        if let Some(Recording { account, source, events, start }) = this.recording {
            events.requested(&TokenOutcome {
                account: &account.email,
                kind: R::KIND,
                source,
                error: outcome.as_ref().err(),
                latency: start.elapsed(),
            });
        }
        Poll::Ready(outcome)
    }
}
