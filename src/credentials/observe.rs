//! Counts what a token source is asked, and tells the log of each token that is made: for whom, what for, for how long.
//! Never the token, nor its audience.

use super::kind::{Token, TokenRequest};
use crate::metrics::Metrics;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{
    AccessToken, AccessTokenRequest, AccessTokenSource, IdToken, IdTokenRequest, IdTokenSource, TokenError,
};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tower::{Service, ServiceExt, service_fn};

/// The same sources, counted where somebody looks at the counts.
pub(super) fn counted(tokens: TokenSources, source: &'static str, metrics: Option<&Metrics>) -> TokenSources {
    let Some(metrics) = metrics else { return tokens };
    TokenSources {
        access: tokens.access.map(|inner| AccessTokenSource::new(count(inner, source, metrics.clone()))),
        id: tokens.id.map(|inner| IdTokenSource::new(count(inner, source, metrics.clone()))),
    }
}

fn count<S, R>(
    inner: S,
    source: &'static str,
    metrics: Metrics,
) -> impl Service<R, Response = S::Response, Error = TokenError, Future: Send> + Clone + Send + Sync
where
    S: Service<R, Error = TokenError, Future: Send> + Clone + Send + Sync + 'static,
    S::Response: Send,
    R: TokenRequest,
{
    service_fn(move |request: R| {
        let (inner, metrics) = (inner.clone(), metrics.clone());
        async move {
            let (start, email) = (Instant::now(), request.account().email.clone());
            let outcome = inner.oneshot(request).await;
            metrics.token_requested(&email, R::KIND, source, outcome.as_ref().err(), start.elapsed());
            outcome
        }
    })
}

/// What is told of a new token of either kind.
pub(super) trait Tell: TokenRequest {
    fn tell(&self, token: &Self::Token, source: &'static str, metrics: Option<&Metrics>);
}

impl Tell for AccessTokenRequest {
    fn tell(&self, token: &AccessToken, source: &'static str, metrics: Option<&Metrics>) {
        let (account, scopes) = (&self.account.email, self.scopes.join(" "));
        if let Some(metrics) = metrics {
            metrics.token_minted(account, token.expires_in);
        }
        tracing::info!(account, scopes, source, seconds = token.expires_in.as_secs(), "access token made");
    }
}

impl Tell for IdTokenRequest {
    fn tell(&self, token: &IdToken, source: &'static str, _: Option<&Metrics>) {
        // It ends on a whole second, and now is not one.
        let seconds = (token.lifetime() + Duration::from_millis(999)).as_secs();
        tracing::info!(account = self.account.email, source, seconds, "identity token made");
    }
}

/// A source that tells of each token it makes, and makes no more than `limit` admits. It stands below the cache: tokens that
/// are there already are nobody's trouble.
pub(super) fn told<S, R>(
    inner: S,
    source: &'static str,
    metrics: Option<Metrics>,
    limit: Option<Arc<RateLimit>>,
) -> impl Service<R, Response = R::Token, Error = TokenError, Future: Send> + Clone + Send + Sync
where
    S: Service<R, Response = R::Token, Error = TokenError, Future: Send> + Clone + Send + Sync + 'static,
    R: Tell,
{
    service_fn(move |request: R| {
        let (inner, metrics) = (inner.clone(), metrics.clone());
        let is_admitted = limit.as_ref().is_none_or(|limit| limit.admits());
        async move {
            if !is_admitted {
                return Err(TokenError::TooMany);
            }
            let token = inner.oneshot(request.clone()).await?;
            request.tell(&token, source, metrics.as_ref());
            Ok(token)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CacheTokensLayer;
    use gce_metadata_routes::ServiceAccount;
    use std::num::NonZeroU32;
    use tower::Layer;

    #[tokio::test(start_paused = true)]
    async fn only_what_must_be_made_is_limited() {
        let made = service_fn(async |_: AccessTokenRequest| {
            Ok(AccessToken { token: "t".into(), expires_in: Duration::from_secs(3600) })
        });
        let limit = Some(Arc::new(RateLimit::per_second(NonZeroU32::MIN)));
        let source = CacheTokensLayer::new().layer(told(made, "test", None, limit));
        let ask = async |scope: &str| {
            let account = ServiceAccount::new("a@example.com", vec![], vec![]).into();
            let request = AccessTokenRequest { account, scopes: [scope.into()].into() };
            source.clone().oneshot(request).await.map(|_| ())
        };
        for _ in 0..10 {
            assert!(ask("a").await.is_ok(), "the cache has it");
        }
        assert!(matches!(ask("b").await, Err(TokenError::TooMany)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ask("b").await.is_ok());
    }
}
