//! Injects faults into fetches: the source is delayed or fails, as in an outage.

use super::control::Overrides;
use super::fetch_error::FetchError;
use super::token_request::TokenRequest;
use gce_metadata_layers::FaultDelay;
use gce_metadata_routes::ServiceAccount;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Decides which fetches get a fault: [`TokenControl::inject_faults`](crate::TokenControl::inject_faults).
pub trait FetchFaults: Send + Sync {
    /// What to do to a fetch for this account; `None` to leave it to the source. `kind` is
    /// [`TokenRequest::KIND`](crate::TokenRequest::KIND).
    fn fault(&self, account: &ServiceAccount, kind: &'static str) -> Option<FetchFault>;
}

/// What is done to one fetch.
#[derive(Debug, Clone)]
pub struct FetchFault {
    /// The delay before the outcome.
    pub delay: FaultDelay,
    /// The error of the fetch; `None` if the source answers.
    pub error: Option<FetchError>,
}

/// Adds [`InjectFetchFaults`] to a source.
#[derive(Debug, Clone)]
pub(super) struct InjectFetchFaultsLayer {
    overrides: Overrides,
}

impl InjectFetchFaultsLayer {
    /// Injects the faults that these overrides have.
    pub(super) fn new(overrides: Overrides) -> Self {
        Self { overrides }
    }
}

impl<S> Layer<S> for InjectFetchFaultsLayer {
    type Service = InjectFetchFaults<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InjectFetchFaults { inner, overrides: self.overrides.clone() }
    }
}

/// Delays or fails the fetches that have a fault.
#[derive(Debug, Clone)]
pub(super) struct InjectFetchFaults<S> {
    inner: S,
    overrides: Overrides,
}

impl<S, R> Service<R> for InjectFetchFaults<S>
where
    S: Service<R, Response = R::Token, Error: Into<FetchError>, Future: Send> + Clone + Send + 'static,
    R: TokenRequest,
{
    type Response = R::Token;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<R::Token, FetchError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let fault = self.overrides.fetch_faults().and_then(|faults| faults.fault(request.account(), R::KIND));
        let unready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, unready);
        Box::pin(async move {
            if let Some(FetchFault { delay, error }) = fault {
                delay.wait().await;
                if let Some(error) = error {
                    return Err(error);
                }
            }
            inner.call(request).await.map_err(Into::into)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_routes::token::{AccessToken, AccessTokenRequest, TokenError};
    use http::StatusCode;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::Instant;
    use tower::{ServiceExt, service_fn};

    /// Fails access tokens of one account after two seconds, and delays those of another.
    struct Outage;

    impl FetchFaults for Outage {
        fn fault(&self, account: &ServiceAccount, kind: &'static str) -> Option<FetchFault> {
            assert_eq!(kind, "access");
            let delay = FaultDelay::time(Duration::from_secs(2));
            let error = FetchError::from_status(StatusCode::SERVICE_UNAVAILABLE, "down".into(), None);
            match account.email.as_str() {
                "failing@example.com" => Some(FetchFault { delay, error: Some(error) }),
                "slow@example.com" => Some(FetchFault { delay, error: None }),
                _ => None,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fetches_fail_or_are_delayed_by_account() {
        let overrides = Overrides::default();
        let source = service_fn(async |_: AccessTokenRequest| {
            Ok::<_, TokenError>(AccessToken::new("t", Duration::from_secs(60)))
        });
        let service = InjectFetchFaultsLayer::new(overrides.clone()).layer(source);
        let fetch = async |email: &str| {
            let account = ServiceAccount::new(email, vec![], vec![]).into();
            let start = Instant::now();
            let fetched = service.clone().oneshot(AccessTokenRequest::new(account, [])).await;
            (fetched.map(|_| ()).map_err(|failure| failure.to_string()), start.elapsed().as_secs())
        };
        assert_eq!(fetch("failing@example.com").await, (Ok(()), 0), "there are no faults yet");
        overrides.inject_faults(Arc::new(Outage));
        let down = Err("token source unavailable: down".to_owned());
        assert_eq!(fetch("failing@example.com").await, (down, 2));
        assert_eq!(fetch("slow@example.com").await, (Ok(()), 2));
        assert_eq!(fetch("other@example.com").await, (Ok(()), 0));
    }
}
