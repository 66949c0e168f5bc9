//! The rate limit of fetches: GCE limits access tokens that are not cached. It is not a layer of the HTTP stack,
//! because only the cache knows whether a token is cached.

use super::fetch_error::FetchError;
use super::token_request::TokenRequest;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::token::TokenError;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service};

/// Adds [`LimitUncached`] to a source.
#[derive(Debug, Clone)]
pub(super) struct LimitUncachedLayer {
    limit: Option<Arc<RateLimit>>,
}

impl LimitUncachedLayer {
    /// Admits the fetches that `limit` admits; all if it is `None`.
    pub(super) fn new(limit: Option<Arc<RateLimit>>) -> Self {
        Self { limit }
    }
}

impl<S> Layer<S> for LimitUncachedLayer {
    type Service = LimitUncached<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitUncached { inner, limit: self.limit.clone() }
    }
}

/// Fails with [`TokenError::TooMany`] above the limit, without calling the inner service.
#[derive(Debug, Clone)]
pub(super) struct LimitUncached<S> {
    inner: S,
    limit: Option<Arc<RateLimit>>,
}

/// The future of [`LimitUncached`].
pub(super) type ResponseFuture<F, T> = Either<F, Ready<Result<T, FetchError>>>;

impl<S, R> Service<R> for LimitUncached<S>
where
    S: Service<R, Response = R::Token, Error = FetchError>,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = FetchError;
    type Future = ResponseFuture<S::Future, R::Token>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        if self.limit.as_ref().is_none_or(|limit| limit.admits()) {
            Either::Left(self.inner.call(request))
        } else {
            Either::Right(ready(Err(TokenError::TooMany.into())))
        }
    }
}
