//! The token path: every concern of serving a token, one layer each, composed in one order for both kinds of tokens and all
//! sources.

use super::events::SharedTokenEvents;
use super::fetch_error::FetchError;
use super::health::SourceHealth;
use super::limit_uncached::{LimitUncached, LimitUncachedLayer};
use super::log_tokens::{LogMinted, LogTokens, LogTokensLayer};
use super::record_fetches::{RecordFetches, RecordFetchesLayer};
use super::record_token_requests::{RecordTokenRequests, RecordTokenRequestsLayer};
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use tower::{Layer, Service, ServiceBuilder};

/// What a source answers with, which decides what can be reported of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// A new token for each fetch.
    New,
    /// Tokens that may have been answered before: an embedder's source may have a cache of its own.
    Any,
    /// One token, which is never fetched.
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
}

/// The layers below the cache. They see fetches, not requests.
pub(super) type Fetches<S> = RecordFetches<LimitUncached<LogTokens<S>>>;

impl TokenStack {
    /// The path of the source that logs and metrics call `source`.
    pub(super) fn new(source: &'static str, answers: Answers, events: SharedTokenEvents, health: SourceHealth) -> Self {
        Self { source, answers, events, health, limit: None }
    }

    /// Limits the rate of fetches.
    pub(super) fn limit(self, limit: Option<Arc<RateLimit>>) -> Self {
        Self { limit, ..self }
    }

    /// The path as one service. `cache` is a [`CacheTokensLayer`](super::CacheTokensLayer), or
    /// [`Identity`](tower::layer::util::Identity) where nothing is cached.
    pub(super) fn service<R, C, S>(self, cache: C, source: S) -> RecordTokenRequests<C::Service>
    where
        R: LogMinted,
        C: Layer<Fetches<S>, Service: Service<R, Response = R::Token, Error: Into<TokenError>>>,
        S: Service<R, Response = R::Token, Error: Into<FetchError>>,
    {
        let Self { source: name, answers, events, health, limit } = self;
        ServiceBuilder::new()
            // Outermost: a request counts even if the cache answers it.
            .layer(RecordTokenRequestsLayer::new(name, Arc::clone(&events)))
            // Above all that a fetch costs. Fixed tokens need none, an embedder's source has its own if it wants one.
            .layer(cache)
            // Below the cache, whose fetches outlive their requests; above the limit, which is no answer of the source.
            .layer(RecordFetchesLayer::new(name, answers, events, health))
            // Below the cache, because cached tokens have no limit; above the log, because a refused fetch made no token.
            .layer(LimitUncachedLayer::new(limit))
            // Next to the source: the reason of a failure is logged once, however many requests wait for it.
            .layer(LogTokensLayer::new(name, answers))
            // A layer that changes what sources answer, such as fault injection, goes here: its answers are cached, counted and
            // logged like the source's own.
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

    /// Writes down each event.
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

    /// What the types leave open: requests are recorded above the cache, fetches and the limit are below it, and a fetch that the
    /// limit refuses does not reach the source.
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
        assert!(health.is_ready(|_| true), "the source was not asked");
        advance(Duration::from_secs(1)).await;
        assert!(ask("b").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_recorded_though_every_client_left() {
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
    async fn a_failed_refresh_is_recorded_though_no_request_waits_for_it() {
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

    /// Without a cache each request is a fetch, unless the token is fixed. Whether the token is new is not known.
    #[tokio::test]
    async fn tokens_that_may_be_old_are_not_recorded_as_minted() {
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
