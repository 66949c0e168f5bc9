//! The checks of a request to the admin API, each a layer: a page of another site in a browser on this machine, or another user, must
//! not be able to use the API.

mod require_content_type;
mod require_host;
mod require_own_origin;
mod require_token;
mod require_user;

pub(super) use require_content_type::RequireContentType;
pub(super) use require_host::RequireAdminHost;
pub(super) use require_own_origin::RequireOwnOrigin;
pub(super) use require_token::RequireToken;
pub(super) use require_user::RequireUser;

use super::call::Answer;
use super::problem::Problem;
use http::Request;
use http_body::Body;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::{Layer, Service};

/// A check of a request's head.
pub(super) trait Guard {
    /// The answer to a request that must not be answered otherwise.
    fn check(&self, request: &Head<'_>) -> Result<(), Problem>;
}

/// The head of a request, and whether the request has a body.
pub(super) struct Head<'a> {
    pub(super) method: &'a http::Method,
    pub(super) uri: &'a http::Uri,
    pub(super) headers: &'a http::HeaderMap,
    pub(super) extensions: &'a http::Extensions,
    pub(super) has_body: bool,
}

/// Adds a check to a service.
#[derive(Debug)]
pub(super) struct GuardLayer<G>(Arc<G>);

impl<G: Guard> GuardLayer<G> {
    pub(super) fn new(guard: G) -> Self {
        Self(Arc::new(guard))
    }
}

impl<G> Clone for GuardLayer<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, G> Layer<S> for GuardLayer<G> {
    type Service = Guarded<S, G>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, guard: Arc::clone(&self.0) }
    }
}

/// A service that answers only requests that pass the check.
#[derive(Debug)]
pub(super) struct Guarded<S, G> {
    inner: S,
    guard: Arc<G>,
}

impl<S: Clone, G> Clone for Guarded<S, G> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: Arc::clone(&self.guard) }
    }
}

impl<S, G, B> Service<Request<B>> for Guarded<S, G>
where
    S: Service<Request<B>, Response = Answer>,
    G: Guard,
    B: Body,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Answer, S::Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let head = Head {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
            has_body: !request.body().is_end_stream(),
        };
        match self.guard.check(&head) {
            Ok(()) => Either::Left(self.inner.call(request)),
            Err(problem) => Either::Right(ready(Ok(problem.into_answer()))),
        }
    }
}

/// Checks a request, for tests of the guards.
#[cfg(test)]
fn status<G: Guard>(guard: &G, request: Request<&'static str>) -> u16 {
    let head = Head {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        extensions: request.extensions(),
        has_body: !request.body().is_empty(),
    };
    guard.check(&head).map_or_else(|problem| problem.into_answer().status().as_u16(), |()| 200)
}
