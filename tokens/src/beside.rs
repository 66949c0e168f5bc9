//! A fixed token beside another source: the default account gets the fixed token, and all other requests go to the source.

use super::token_request::TokenRequest;
use gce_metadata_routes::token::TokenError;
use tower::{Service, ServiceExt, service_fn};

/// Combines the service of a fixed token with that of a source.
pub(super) fn beside<R, F, S>(
    fixed: F,
    source: S,
) -> impl Service<R, Response = R::Token, Error = TokenError, Future: Send + 'static> + Clone + Send + Sync + 'static
where
    R: TokenRequest + Send + 'static,
    F: Service<R, Response = R::Token, Error = TokenError, Future: Send> + Clone + Send + Sync + 'static,
    S: Service<R, Response = R::Token, Error = TokenError, Future: Send> + Clone + Send + Sync + 'static,
{
    service_fn(move |request: R| {
        let (fixed, source) = (fixed.clone(), source.clone());
        async move {
            match request.account().is_default() {
                true => fixed.oneshot(request).await,
                false => source.oneshot(request).await,
            }
        }
    })
}
