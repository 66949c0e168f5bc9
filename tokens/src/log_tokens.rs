//! Logs each new token and each failure of the source: account, scopes, lifetime, reason. It never logs a token or an
//! audience.

use super::fetch_error::FetchError;
use super::stack::Answers;
use super::token_request::{Token, TokenRequest};
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, TokenError};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tower::{Layer, Service};

/// Adds [`LogTokens`] to a source.
#[derive(Debug, Clone)]
pub(super) struct LogTokensLayer {
    source: &'static str,
    answers: Answers,
}

impl LogTokensLayer {
    /// Logs the answers of `source`. Failures are always logged, tokens only if they are [new](Answers::New).
    pub(super) fn new(source: &'static str, answers: Answers) -> Self {
        Self { source, answers }
    }
}

impl<S> Layer<S> for LogTokensLayer {
    type Service = LogTokens<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LogTokens { inner, source: self.source, answers: self.answers }
    }
}

/// Logs each answer of the inner service.
#[derive(Debug, Clone)]
pub(super) struct LogTokens<S> {
    inner: S,
    source: &'static str,
    answers: Answers,
}

impl<S, R> Service<R> for LogTokens<S>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>>,
    R: LogMinted,
{
    type Response = R::Token;
    type Error = FetchError;
    type Future = ResponseFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let inner = self.inner.call(request.clone());
        ResponseFuture { inner, request, source: self.source, answers: self.answers }
    }
}

pin_project! {
    /// The future of [`LogTokens`].
    pub(super) struct ResponseFuture<F, R> {
        #[pin]
        inner: F,
        request: R,
        source: &'static str,
        answers: Answers,
    }
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<R::Token, E>>,
    R: LogMinted,
    E: Into<FetchError>,
{
    type Output = Result<R::Token, FetchError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (request, source) = (&*this.request, *this.source);
        let outcome = ready!(this.inner.poll(cx)).map_err(Into::into);
        match &outcome {
            Ok(token) if *this.answers == Answers::New => request.log_minted(token, source),
            Err(FetchError {
                error: error @ (TokenError::Refused { .. } | TokenError::Unavailable { .. }), ..
            }) => {
                tracing::warn!(account = request.account().email, kind = R::KIND, source, "{error}");
            }
            _ => {}
        }
        Poll::Ready(outcome)
    }
}

/// A request whose new token is logged with the fields of its kind.
pub(super) trait LogMinted: TokenRequest {
    fn log_minted(&self, token: &Self::Token, source: &'static str);
}

impl LogMinted for AccessTokenRequest {
    fn log_minted(&self, token: &AccessToken, source: &'static str) {
        let (account, scopes) = (&self.account.email, self.scopes.join(" "));
        tracing::info!(account, scopes, source, lifetime_seconds = token.expires_in.as_secs(), "access token made");
    }
}

impl LogMinted for IdTokenRequest {
    fn log_minted(&self, token: &IdToken, source: &'static str) {
        // Rounded up, because `exp` has whole seconds and the system time has fractions.
        let lifetime_seconds = (token.lifetime() + Duration::from_millis(999)).as_secs();
        tracing::info!(account = self.account.email, source, lifetime_seconds, "identity token made");
    }
}
