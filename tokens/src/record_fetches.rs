//! Reports each fetch to [`TokenEvents`](super::TokenEvents) and its outcome to [`SourceHealth`].
//!
//! The layer is below the cache, because a fetch may outlive its request, and a refresh has no request: an outage is
//! recorded even if every client disconnects before the source fails.

use super::events::{SharedTokenEvents, TokenOutcome};
use super::fetch_error::FetchError;
use super::health::SourceHealth;
use super::stack::Answers;
use super::token_request::{Token, TokenRequest};
use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::TokenError;
use pin_project_lite::pin_project;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::Instant;
use tower::{Layer, Service};

/// Adds [`RecordFetches`] to a source.
#[derive(Clone)]
pub(super) struct RecordFetchesLayer {
    recorder: Recorder,
}

#[derive(Clone)]
struct Recorder {
    source: &'static str,
    answers: Answers,
    events: SharedTokenEvents,
    health: SourceHealth,
}

impl RecordFetchesLayer {
    /// Reports fetches from `source`.
    pub(super) fn new(source: &'static str, answers: Answers, events: SharedTokenEvents, health: SourceHealth) -> Self {
        Self { recorder: Recorder { source, answers, events, health } }
    }
}

impl<S> Layer<S> for RecordFetchesLayer {
    type Service = RecordFetches<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordFetches { inner, recorder: self.recorder.clone() }
    }
}

/// Reports each answer of the inner service.
#[derive(Clone)]
pub(super) struct RecordFetches<S> {
    inner: S,
    recorder: Recorder,
}

impl<S, R> Service<R> for RecordFetches<S>
where
    S: Service<R, Response = R::Token, Error = FetchError>,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = FetchError;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (account, start) = (Arc::clone(request.account()), Instant::now());
        ResponseFuture {
            inner: self.inner.call(request),
            account,
            recorder: self.recorder.clone(),
            start,
            kind: PhantomData,
        }
    }
}

pin_project! {
    /// The future of [`RecordFetches`].
    pub(super) struct ResponseFuture<F, R> {
        #[pin]
        inner: F,
        account: Arc<ServiceAccount>,
        recorder: Recorder,
        start: Instant,
        kind: PhantomData<fn(R)>,
    }
}

impl<F, R> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<R::Token, FetchError>>,
    R: TokenRequest,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx));
        this.recorder.record::<R>(&this.account.email, &outcome, this.start.elapsed());
        Poll::Ready(outcome)
    }
}

impl Recorder {
    fn record<R: TokenRequest>(
        &self,
        account: &str,
        outcome: &Result<R::Token, FetchError>,
        latency: std::time::Duration,
    ) {
        let error = outcome.as_ref().err().map(|failed| &failed.error);
        // The source was not called.
        let is_fetch = !matches!(error, Some(TokenError::NoSource { .. } | TokenError::TooMany));
        if !is_fetch || self.answers == Answers::Constant {
            return;
        }
        self.health.record(account, R::KIND, error);
        self.events.fetched(&TokenOutcome { account, kind: R::KIND, source: self.source, error, latency });
        if let (Ok(token), Answers::New) = (outcome, self.answers) {
            self.events.minted(account, R::KIND, token.lifetime());
        }
    }
}
