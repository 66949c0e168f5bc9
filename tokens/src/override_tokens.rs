//! Answers requests for tokens with the overrides that are set at run time, instead of or around the source.

use super::cache::CacheTokens;
use super::control::{Overridable, Override, Overrides};
use super::fetch_error::FetchError;
use super::record_fetches::RecordFetches;
use super::stack::Answers;
use super::token_request::{Token, TokenRequest};
use gce_metadata_routes::token::TokenError;
use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service, ServiceExt};

/// Adds [`OverrideTokens`] to a token service.
#[derive(Debug, Clone)]
pub(super) struct OverrideTokensLayer {
    overrides: Overrides,
    answers: Answers,
}

impl OverrideTokensLayer {
    /// Overrides the tokens of a source with these `answers`.
    pub(super) fn new(overrides: Overrides, answers: Answers) -> Self {
        Self { overrides, answers }
    }
}

impl<S> Layer<S> for OverrideTokensLayer {
    type Service = OverrideTokens<S>;

    fn layer(&self, inner: S) -> Self::Service {
        OverrideTokens { inner, overrides: self.overrides.clone(), answers: self.answers }
    }
}

/// Answers a request with the override of its account, if there is one.
#[derive(Debug, Clone)]
pub(super) struct OverrideTokens<S> {
    inner: S,
    overrides: Overrides,
    answers: Answers,
}

impl<S> OverrideTokens<S> {
    /// The inner service.
    pub(super) fn get_ref(&self) -> &S {
        &self.inner
    }
}

type Boxed<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// A service that can make a new token even if one is cached.
pub(super) trait FetchUncached<R: TokenRequest> {
    /// The error of a fetch.
    type Error;
    /// Fetches a token from the source. The token is not cached, and no other request shares it.
    fn fetch_uncached(&self, request: R) -> Boxed<R::Token, Self::Error>;
}

impl<S, R> FetchUncached<R> for CacheTokens<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>, Future: Send> + Clone + Send + Sync + 'static,
    R: TokenRequest,
{
    type Error = TokenError;

    fn fetch_uncached(&self, request: R) -> Boxed<R::Token, TokenError> {
        let source = self.get_ref().clone();
        Box::pin(async move { source.oneshot(request).await.map_err(|error| error.into().error) })
    }
}

/// A source without a cache.
impl<S, R> FetchUncached<R> for RecordFetches<S>
where
    Self: Service<R, Response = R::Token, Error = FetchError, Future: Send> + Clone + Send + 'static,
    R: TokenRequest,
{
    type Error = FetchError;

    fn fetch_uncached(&self, request: R) -> Boxed<R::Token, FetchError> {
        Box::pin(self.clone().oneshot(request))
    }
}

impl<S, R> Service<R> for OverrideTokens<S>
where
    S: Service<R, Response = R::Token, Error: From<TokenError> + Send + 'static, Future: Send + 'static>
        + FetchUncached<R, Error = <S as Service<R>>::Error>,
    R: Overridable,
{
    type Response = R::Token;
    type Error = <S as Service<R>>::Error;
    type Future = Either<<S as Service<R>>::Future, Boxed<R::Token, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if self.overrides.is_empty() {
            return Either::Left(self.inner.call(request));
        }
        match self.overrides.of(&request) {
            None => Either::Left(self.inner.call(request)),
            // A fixed token beside the offline issuer, whose behaviour was set.
            Some(Override::Behaviour(_)) if self.answers == Answers::Constant => Either::Left(self.inner.call(request)),
            Some(Override::Given(token)) => Either::Right(Box::pin(ready(Ok(token)))),
            Some(Override::Ended) => {
                let reason = "the token that was given at run time has expired".to_owned();
                Either::Right(Box::pin(ready(Err(TokenError::Unavailable { reason }.into()))))
            }
            Some(Override::Behaviour(behaviour)) => {
                let answer = if behaviour.reuse == Some(false) {
                    self.inner.fetch_uncached(request)
                } else {
                    Box::pin(self.inner.call(request))
                };
                Either::Right(Box::pin(async move {
                    let token = answer.await?;
                    let reported = behaviour.reported(token.lifetime());
                    Ok(token.with_left(reported))
                }))
            }
        }
    }
}
