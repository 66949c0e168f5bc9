//! The token path: one layer for each concern of serving a token, in one order for both kinds of tokens and all
//! sources.

use super::control::{Overridable, Overrides};
use super::events::SharedTokenEvents;
use super::fetch_error::FetchError;
use super::health::SourceHealth;
use super::inject_fetch_faults::{InjectFetchFaults, InjectFetchFaultsLayer};
use super::limit_uncached::{LimitUncached, LimitUncachedLayer};
use super::log_tokens::{LogMinted, LogTokens, LogTokensLayer};
use super::override_tokens::{FetchUncached, OverrideTokens, OverrideTokensLayer};
use super::record_fetches::{RecordFetches, RecordFetchesLayer};
use super::record_token_requests::{RecordTokenRequests, RecordTokenRequestsLayer};
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use tower::{Layer, Service, ServiceBuilder};

/// Whether the tokens of a source are new, which decides how they are logged and recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Each fetch makes a new token.
    New,
    /// A token may be new or old: an embedder's source may have its own cache.
    Any,
    /// The source always returns the same token, and fetches nothing.
    Constant,
}

/// Composes the token path of one source.
#[derive(Clone)]
pub(super) struct TokenStack {
    source: &'static str,
    answers: Answers,
    events: SharedTokenEvents,
    health: SourceHealth,
    limit: Option<Arc<RateLimit>>,
    overrides: Overrides,
}

/// The layers below the cache. They see fetches, not requests.
pub(super) type Fetches<S> = RecordFetches<LimitUncached<LogTokens<InjectFetchFaults<S>>>>;

/// The whole path of a cache, or of [`Fetches`] without a cache.
pub(super) type TokenPath<C> = RecordTokenRequests<OverrideTokens<C>>;

impl<C> TokenPath<C> {
    /// The cache.
    pub(super) fn cache(&self) -> &C {
        self.get_ref().get_ref()
    }
}

impl TokenStack {
    /// A path without a limit. `source` is the name of the source in logs and metrics.
    pub(super) fn new(source: &'static str, answers: Answers, events: SharedTokenEvents, health: SourceHealth) -> Self {
        Self { source, answers, events, health, limit: None, overrides: Overrides::default() }
    }

    /// The overrides that are set at run time, which the paths of this stack share.
    pub(super) fn overrides(&self) -> Overrides {
        self.overrides.clone()
    }

    /// Shares these overrides with another path.
    #[must_use]
    pub(super) fn with_overrides(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Limits the rate of fetches.
    #[must_use]
    pub(super) fn limit(self, limit: Option<Arc<RateLimit>>) -> Self {
        Self { limit, ..self }
    }

    /// Composes the path as one service. `cache` is a [`CacheTokensLayer`](super::CacheTokensLayer), or
    /// [`Identity`](tower::layer::util::Identity) for a source without a cache.
    pub(super) fn service<R, C, S>(self, cache: C, source: S) -> TokenPath<C::Service>
    where
        R: LogMinted + Overridable,
        C: Layer<Fetches<S>>,
        C::Service: Service<R, Response = R::Token, Error: From<TokenError> + Into<TokenError> + Send, Future: Send>
            + FetchUncached<R, Error = <C::Service as Service<R>>::Error>,
        S: Service<R, Response = R::Token, Error: Into<FetchError>>,
    {
        let Self { source: name, answers, events, health, limit, overrides } = self;
        let faults = InjectFetchFaultsLayer::new(overrides.clone());
        ServiceBuilder::new()
            // Outermost, so that cache hits count as requests.
            .layer(RecordTokenRequestsLayer::new(name, Arc::clone(&events)))
            // Above the cache, whose tokens are those of the source; below the record, because a client requested a token.
            .layer(OverrideTokensLayer::new(overrides, answers))
            // Above every layer that only fetches pass. Fixed tokens need no cache; an embedder's source may bring its
            // own.
            .layer(cache)
            // Below the cache, because a fetch may outlive its request.
            .layer(RecordFetchesLayer::new(name, answers, events, health))
            // Below the cache, because cached tokens have no limit; above the log, because a limited fetch makes no
            // token.
            .layer(LimitUncachedLayer::new(limit))
            // Next to the source, so that a failure is logged once, not for each waiting request.
            .layer(LogTokensLayer::new(name, answers))
            // In place of the source: faults are counted and logged, and fail the cache, as those of the source do.
            .layer(faults)
            .service(source)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cache::CacheTokensLayer;
    use super::super::events::{TokenEvents, TokenOutcome};
    use super::*;
    use gce_metadata_routes::ServiceAccount;
    use gce_metadata_routes::token::{AccessToken, AccessTokenRequest};
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;
    use tokio::time::{advance, sleep, timeout};
    use tower::layer::util::Identity;
    use tower::{ServiceExt, service_fn};

    fn request(scope: &str) -> AccessTokenRequest {
        let account = ServiceAccount::new("a@example.com", vec![], vec![]).into();
        AccessTokenRequest::new(account, [scope.to_owned()])
    }

    fn token() -> AccessToken {
        AccessToken::new("t", Duration::from_secs(3600))
    }

    /// Collects events as text.
    #[derive(Default)]
    struct Events(Mutex<Vec<String>>);

    impl Events {
        fn add(&self, event: String) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }

        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl TokenEvents for Events {
        fn requested(&self, outcome: &TokenOutcome<'_>) {
            self.add(format!("requested {:?}", outcome.error));
        }

        fn fetched(&self, outcome: &TokenOutcome<'_>) {
            self.add(format!("fetched {:?} in {} s", outcome.error, outcome.latency.as_secs()));
        }

        fn minted(&self, _: &str, kind: &'static str, lifetime: Duration) {
            self.add(format!("minted {kind} for {} s", lifetime.as_secs()));
        }
    }

    fn stack(answers: Answers) -> (TokenStack, Arc<Events>, SourceHealth) {
        let (events, health) = (Arc::new(Events::default()), SourceHealth::default());
        (TokenStack::new("test", answers, events.clone(), health.clone()), events, health)
    }

    /// Requests are recorded above the cache, fetches and the limit are below it, and a fetch above the limit does not
    /// call the source. The types don't enforce this order.
    #[tokio::test(start_paused = true)]
    async fn token_stack_order() {
        let calls = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&calls);
        let source = service_fn(move |_: AccessTokenRequest| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Ok::<_, TokenError>(token()))
        });
        let (stack, events, health) = stack(Answers::New);
        let limit = Some(Arc::new(RateLimit::per_second(NonZeroU32::MIN)));
        let path = stack.limit(limit).service(CacheTokensLayer::new(), source);
        let ask = async |scope: &str| path.clone().oneshot(request(scope)).await.map(|_| ());

        assert!(ask("a").await.is_ok());
        assert_eq!(events.take(), ["fetched None in 0 s", "minted access for 3600 s", "requested None"]);
        for _ in 0..10 {
            assert!(ask("a").await.is_ok(), "cached tokens have no limit");
            assert_eq!(events.take(), ["requested None"]);
        }
        assert!(matches!(ask("b").await, Err(TokenError::TooMany)));
        assert_eq!(events.take(), ["requested Some(TooMany)"]);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(health.is_ready(|_| true), "the source was not called");
        advance(Duration::from_secs(1)).await;
        assert!(ask("b").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_recorded_after_every_client_disconnected() {
        let silent = service_fn(async |_: AccessTokenRequest| {
            sleep(Duration::from_secs(30)).await;
            Err::<AccessToken, _>(TokenError::Unavailable { reason: "did not answer in time".into() })
        });
        let (stack, events, health) = stack(Answers::New);
        let path = stack.service(CacheTokensLayer::new(), silent);
        for scope in ["a", "b"] {
            assert!(timeout(Duration::from_secs(3), path.clone().oneshot(request(scope))).await.is_err());
        }
        sleep(Duration::from_secs(30)).await;
        assert!(!health.is_ready(|_| true));
        let fetched = r#"fetched Some(Unavailable { reason: "did not answer in time" }) in 30 s"#;
        assert_eq!(events.take(), [fetched, fetched]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_background_refresh_is_recorded() {
        let made = Arc::new(AtomicU64::new(0));
        let once = service_fn(move |_: AccessTokenRequest| {
            std::future::ready(match made.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(token()),
                _ => Err(TokenError::Unavailable { reason: "down".into() }),
            })
        });
        let (stack, _, health) = stack(Answers::New);
        let path = stack.service(CacheTokensLayer::new().refresh_ahead(), once);
        assert!(path.clone().oneshot(request("a")).await.is_ok());
        assert!(health.is_ready(|_| true));
        sleep(Duration::from_secs(3001)).await;
        assert!(path.clone().oneshot(request("a")).await.is_ok(), "the cached token is served");
        sleep(Duration::from_secs(1)).await;
        assert!(!health.is_ready(|_| true));
    }

    /// Without a cache each request is a fetch, unless the token is constant.
    #[tokio::test]
    async fn only_new_tokens_are_recorded_as_minted() {
        let source = service_fn(async |_: AccessTokenRequest| Ok::<_, TokenError>(token()));
        for (answers, recorded) in
            [(Answers::Any, &["fetched None in 0 s", "requested None"][..]), (Answers::Constant, &["requested None"])]
        {
            let (stack, events, _) = stack(answers);
            for _ in 0..2 {
                assert!(stack.clone().service(Identity::new(), source).oneshot(request("a")).await.is_ok());
                assert_eq!(events.take(), recorded);
            }
        }
    }
}
