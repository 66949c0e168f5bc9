//! Counts what is asked for tokens and what their source is asked, and tells the log of each token that is made, or why it
//! is not: for whom, what for, for how long. Never the token, nor its audience.

use super::failure::Failure;
use super::kind::{Token, TokenRequest};
use crate::metrics::Metrics;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::token::{
    AccessToken, AccessTokenRequest, AccessTokenSource, IdToken, IdTokenRequest, IdTokenSource, TokenError,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
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

/// A source whose answers are counted, and whose failures the log learns, where it is really asked: below the cache, whose
/// fetches go on when whoever began them has left, and renew what nobody waits for.
pub(super) fn watched<S, R>(
    inner: S,
    source: &'static str,
    metrics: Option<Metrics>,
) -> impl Service<R, Response = R::Token, Error = Failure, Future: Send> + Clone + Send + Sync + use<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<Failure>, Future: Send> + Clone + Send + Sync + 'static,
    R: TokenRequest,
{
    service_fn(move |request: R| {
        let (inner, metrics) = (inner.clone(), metrics.clone());
        async move {
            let (start, account) = (Instant::now(), request.account().email.clone());
            let outcome = inner.oneshot(request).await.map_err(Into::into);
            let failure = outcome.as_ref().err().map(|failure: &Failure| &failure.error);
            if let Some(metrics) = metrics {
                metrics.token_fetched(&account, R::KIND, source, failure, start.elapsed());
            }
            if let Some(error @ (TokenError::Refused { .. } | TokenError::Unavailable { .. })) = failure {
                tracing::warn!(account, kind = R::KIND, source, "{error}");
            }
            outcome
        }
    })
}

/// A source that is watched, tells of each token it makes, and makes no more than `limit` admits. It stands below the cache:
/// tokens that are there already are nobody's trouble.
pub(super) fn told<S, R>(
    inner: S,
    source: &'static str,
    metrics: Option<&Metrics>,
    limit: Option<Arc<RateLimit>>,
) -> impl Service<R, Response = R::Token, Error = Failure, Future: Send> + Clone + Send + Sync + use<S, R>
where
    S: Service<R, Response = R::Token, Error: Into<Failure>, Future: Send> + Clone + Send + Sync + 'static,
    R: Tell,
{
    let (inner, metrics) = (watched(inner, source, metrics.cloned()), metrics.cloned());
    service_fn(move |request: R| {
        let (inner, metrics) = (inner.clone(), metrics.clone());
        let is_admitted = limit.as_ref().is_none_or(|limit| limit.admits());
        async move {
            if !is_admitted {
                return Err(TokenError::TooMany.into());
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
    use std::future::ready;
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::time::{sleep, timeout};
    use tower::Layer;

    fn request(scope: &str) -> AccessTokenRequest {
        let account = ServiceAccount::new("a@example.com", vec![], vec![]).into();
        AccessTokenRequest::new(account, [scope.to_owned()])
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_shows_though_everybody_leaves_before_it_does() {
        let silent = service_fn(async |_: AccessTokenRequest| {
            sleep(Duration::from_secs(30)).await;
            Err::<AccessToken, _>(TokenError::Unavailable { reason: "did not answer in time".into() })
        });
        let metrics = Metrics::new();
        let source = CacheTokensLayer::new().layer(told(silent, "test", Some(&metrics), None));
        let source =
            counted(TokenSources { access: Some(AccessTokenSource::new(source)), id: None }, "test", Some(&metrics));
        let source = source.access.unwrap();
        for scope in ["a", "b"] {
            assert!(timeout(Duration::from_secs(3), source.clone().oneshot(request(scope))).await.is_err());
        }
        sleep(Duration::from_secs(30)).await;
        assert!(!metrics.tokens_are_well());
        let (labels, text) = (r#"account="a@example.com",kind="access",source="test""#, metrics.counted());
        for series in [
            format!("metadata_token_fetches_total{{{labels},outcome=\"unavailable\"}} 2"),
            format!("metadata_token_fetch_duration_seconds_sum{{{labels}}} 60"),
        ] {
            assert!(text.contains(&series), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_shows_though_nobody_waits_for_it() {
        let made = Arc::new(AtomicU64::new(0));
        let once = service_fn(move |_: AccessTokenRequest| {
            ready(match made.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(AccessToken::new("t", Duration::from_secs(3600))),
                _ => Err(TokenError::Unavailable { reason: "down".into() }),
            })
        });
        let metrics = Metrics::new();
        let source = CacheTokensLayer::new().refresh_ahead().layer(told(once, "test", Some(&metrics), None));
        assert!(source.clone().oneshot(request("a")).await.is_ok());
        assert!(metrics.tokens_are_well());
        sleep(Duration::from_secs(3001)).await;
        assert!(source.clone().oneshot(request("a")).await.is_ok(), "the old one serves");
        sleep(Duration::from_secs(1)).await;
        assert!(!metrics.tokens_are_well());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_must_be_made_is_limited() {
        let made = service_fn(async |_: AccessTokenRequest| {
            Ok::<_, TokenError>(AccessToken::new("t", Duration::from_secs(3600)))
        });
        let limit = Some(Arc::new(RateLimit::per_second(NonZeroU32::MIN)));
        let source = CacheTokensLayer::new().layer(told(made, "test", None, limit));
        let ask = async |scope: &str| source.clone().oneshot(request(scope)).await.map(|_| ());
        for _ in 0..10 {
            assert!(ask("a").await.is_ok(), "the cache has it");
        }
        assert!(matches!(ask("b").await, Err(TokenError::TooMany)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(ask("b").await.is_ok());
    }
}
