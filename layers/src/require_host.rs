//! Refuses requests whose `Host` is a public DNS name, which stops DNS rebinding.
//!
//! A web page can make its DNS name resolve to a loopback or link-local address. The browser then takes the metadata server for
//! the page's origin, so the page may set `Metadata-Flavor` and read the answer. But it can't change the `Host` header, which still
//! has that DNS name.
//!
//! ```
//! use gce_metadata_layers::{AllowedHosts, RequireHostLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = ServiceBuilder::new()
//!     .layer(RequireHostLayer::new(AllowedHosts::new().allow("vm.example.com")?))
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(bytes::Bytes::from_static(b"value")))
//!     }));
//! for (host, status) in [("127.0.0.1:8080", 200), ("vm.example.com", 200), ("rebound.example.net", 403)] {
//!     let request = Request::get("/").header("Host", host).body(())?;
//!     assert_eq!(service.clone().oneshot(request).await?.status(), status);
//! }
//! # Ok(()) }
//! ```

use crate::allowed_hosts::AllowedHosts;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use http::{Request, Response, header};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The shortest time between two log lines. A page can send requests faster than a log should grow.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Adds [`RequireHost`] to a service. All services made by one layer share one limit on log lines.
#[derive(Debug, Clone, Default)]
pub struct RequireHostLayer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    hosts: AllowedHosts,
    last_logged: Mutex<Option<Instant>>,
}

impl RequireHostLayer {
    /// A layer that admits requests for these hosts.
    pub fn new(hosts: AllowedHosts) -> Self {
        Self { shared: Arc::new(Shared { hosts, last_logged: Mutex::default() }) }
    }
}

impl<S> Layer<S> for RequireHostLayer {
    type Service = RequireHost<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireHost { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Answers 403 to a request for a host that [`AllowedHosts`] does not allow, and logs a warning with the remedy, at most one in
/// 10 seconds.
///
/// The authority of an absolute-form target takes precedence over `Host`, as RFC 9112 has it. A request without either
/// is admitted: browsers always send `Host`.
#[derive(Debug, Clone)]
pub struct RequireHost<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl RequireHost<()> {
    /// The layer that adds this service: [`RequireHostLayer::new`].
    pub fn layer(hosts: AllowedHosts) -> RequireHostLayer {
        RequireHostLayer::new(hosts)
    }
}

impl<S> RequireHost<S> {
    inner_service_accessors!();
}

impl Shared {
    fn allows<B>(&self, request: &Request<B>) -> bool {
        let host = match request.uri().authority() {
            Some(authority) => authority.as_str().rsplit('@').next().map(str::as_bytes),
            None => request.headers().get(header::HOST).map(|host| host.as_bytes()),
        };
        let Some(host) = host.filter(|host| !host.is_empty()) else { return true };
        let allows = self.hosts.allows_bytes(host);
        if !allows {
            self.warn_about(&String::from_utf8_lossy(host));
        }
        allows
    }

    fn warn_about(&self, host: &str) {
        let mut last = self.last_logged.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < LOG_INTERVAL) {
            return;
        }
        *last = Some(Instant::now());
        tracing::warn!(
            host,
            "a request was refused, because a web page could have sent it (DNS rebinding); if clients call this server by \
             that name, allow it: --allow-host NAME, or allow_host in the library"
        );
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireHost<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        if self.shared.allows(&request) {
            ResponseFuture::admitted(self.inner.call(request))
        } else {
            ResponseFuture::refused(Rejection::HostNotAllowed, RequestHead::from_request(request))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};

    fn request(uri: &str, host: Option<&str>) -> Request<()> {
        let builder = Request::get(uri);
        let builder = if let Some(host) = host { builder.header("host", host) } else { builder };
        builder.body(()).unwrap()
    }

    async fn is_admitted(uri: &str, host: Option<&str>) {
        let layer = RequireHostLayer::default();
        let answer = mock_exchange(layer, request(uri, host), Response::new(Bytes::new())).await;
        assert_eq!(answer.status(), 200, "{uri} {host:?}");
    }

    async fn is_refused(uri: &str, host: Option<&str>) {
        let answer = mock_refusal::<_, Bytes>(RequireHostLayer::default(), request(uri, host)).await;
        assert_eq!(answer.status(), 403, "{uri} {host:?}");
        let page = String::from_utf8(answer.into_body().to_vec()).unwrap();
        assert!(page.contains("The Host header names a host that is not allowed."), "{page}");
    }

    #[tokio::test]
    async fn a_request_for_an_allowed_host_is_admitted_and_for_another_refused() {
        is_admitted("/", Some("127.0.0.1:8080")).await;
        is_refused("/", Some("rebound.example.com:8080")).await;
    }

    #[tokio::test]
    async fn a_request_without_host_is_admitted() {
        is_admitted("/", None).await;
        is_admitted("/", Some("")).await;
    }

    #[tokio::test]
    async fn the_authority_of_an_absolute_target_takes_precedence_over_the_host_header() {
        is_admitted("http://metadata.google.internal/", Some("rebound.example.com")).await;
        is_refused("http://rebound.example.com/", Some("localhost")).await;
        is_refused("http://localhost@rebound.example.com/", Some("localhost")).await;
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_are_logged_at_most_once_per_interval() {
        let shared = Shared::default();
        let logged_at = || *shared.last_logged.lock().unwrap();
        assert!(!shared.allows(&request("/", Some("a.example.com"))));
        let first = logged_at();
        assert!(first.is_some());
        tokio::time::advance(LOG_INTERVAL / 2).await;
        assert!(!shared.allows(&request("/", Some("b.example.com"))));
        assert_eq!(logged_at(), first);
        tokio::time::advance(LOG_INTERVAL).await;
        assert!(!shared.allows(&request("/", Some("c.example.com"))));
        assert!(logged_at() > first);
    }
}
