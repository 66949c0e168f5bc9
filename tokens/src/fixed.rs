//! The source of a fixed token, given by the environment or a test, for the default account. Other accounts get no
//! token.

use super::token_request::TokenRequest;
use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, IdToken, IdTokenRequest, Secret, TokenError};
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;
use tower::Service;

/// The reported lifetime of an access token, whose real lifetime is not known.
const EXPIRES_IN: Duration = Duration::from_secs(3600);

/// Answers each request of the default account with one token. Without a token, no account has one.
#[derive(Debug, Clone)]
pub(super) struct FixedTokens {
    token: Option<Secret>,
}

impl FixedTokens {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token }
    }

    /// The token, if the request is for the default account.
    fn answer<R: TokenRequest>(&self, request: &R) -> Result<Secret, TokenError> {
        let account = request.account();
        let none = || TokenError::NoSource { account: account.email.clone() };
        let token = if account.is_default() { self.token.clone() } else { None };
        token.ok_or_else(none)
    }
}

impl Service<AccessTokenRequest> for FixedTokens {
    type Response = AccessToken;
    type Error = TokenError;
    type Future = Ready<Result<AccessToken, TokenError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: AccessTokenRequest) -> Self::Future {
        ready(self.answer(&request).map(|token| AccessToken::new(token, EXPIRES_IN)))
    }
}

impl Service<IdTokenRequest> for FixedTokens {
    type Response = IdToken;
    type Error = TokenError;
    type Future = Ready<Result<IdToken, TokenError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: IdTokenRequest) -> Self::Future {
        ready(self.answer(&request).map(IdToken::new))
    }
}
