//! Routes each token request to the current credentials of its account.

use super::accounts::Accounts;
use super::loaded::Sources;
use crate::fetch_error::FetchError;
use crate::token_request::TokenRequest;
use gce_metadata_routes::token::TokenError;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::either::Either;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

/// The source of one kind of token for all accounts. `S` is the source of a single account.
pub(super) struct ByAccount<S> {
    accounts: Arc<Accounts>,
    kind: fn(&Sources) -> &Option<S>,
}

impl<S> ByAccount<S> {
    /// `kind` selects the source of the kind of token.
    pub(super) fn new(accounts: Arc<Accounts>, kind: fn(&Sources) -> &Option<S>) -> Self {
        Self { accounts, kind }
    }
}

impl<S> Clone for ByAccount<S> {
    fn clone(&self) -> Self {
        Self { accounts: Arc::clone(&self.accounts), kind: self.kind }
    }
}

impl<S, R> Service<R> for ByAccount<S>
where
    S: Service<R, Response = R::Token, Error = FetchError> + Clone,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = FetchError;
    type Future = Either<Oneshot<S, R>, Ready<Result<R::Token, FetchError>>>;

    /// Always ready, because the request selects the source.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let loaded = self.accounts.current(request.account());
        match loaded.and_then(|loaded| (self.kind)(&loaded.tokens).clone()) {
            Some(source) => Either::Left(source.oneshot(request)),
            None => {
                let account = request.account().email.clone();
                Either::Right(ready(Err(TokenError::NoSource { account }.into())))
            }
        }
    }
}
