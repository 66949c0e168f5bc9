//! Tokens that were given, by the environment or by a test.

use gce_metadata_routes::ServiceAccount;
use gce_metadata_routes::token::{
    AccessToken, AccessTokenRequest, AccessTokenSource, IdToken, IdTokenRequest, IdTokenSource, Secret, TokenError,
};
use std::future::ready;
use std::time::Duration;
use tower::service_fn;

/// Nobody knows how long a given token lives. An hour is what its kind lives for.
const EXPIRES_IN: Duration = Duration::from_secs(3600);

pub(super) fn access_tokens(token: Secret) -> AccessTokenSource {
    AccessTokenSource::new(service_fn(move |request: AccessTokenRequest| {
        ready(of_default(&request.account).map(|()| AccessToken::new(token.clone(), EXPIRES_IN)))
    }))
}

pub(super) fn id_tokens(token: Secret) -> IdTokenSource {
    IdTokenSource::new(service_fn(move |request: IdTokenRequest| {
        ready(of_default(&request.account).map(|()| IdToken::new(token.clone())))
    }))
}

/// The one token that there is belongs to one account; another one must never get it.
fn of_default(account: &ServiceAccount) -> Result<(), TokenError> {
    if account.is_default() { Ok(()) } else { Err(TokenError::NoSource { account: account.email.clone() }) }
}
