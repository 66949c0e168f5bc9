//! Answers requests that a client sends to an HTTP proxy, if they are for the metadata server; refuses all others.
//!
//! Some programs can't be told another address than `169.254.169.254` or `metadata.google.internal`, but use the proxy in
//! `HTTP_PROXY`. With this layer, the metadata server itself can be that proxy. It forwards no request.
//!
//! ```
//! use gce_metadata_layers::AnswerProxyRequestsLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = ServiceBuilder::new()
//!     .layer(AnswerProxyRequestsLayer::new("127.0.0.1:8080".parse()?))
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(bytes::Bytes::from_static(b"value")))
//!     }));
//! for (target, status) in [("http://metadata.google.internal/", 200), ("http://www.example.com/", 403), ("/", 200)] {
//!     assert_eq!(service.clone().oneshot(Request::get(target).body(())?).await?.status(), status);
//! }
//! # Ok(()) }
//! ```

use crate::allowed_hosts::METADATA;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use std::net::{IpAddr, SocketAddr};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// The addresses of GCE's metadata server.
const METADATA_ADDRESSES: [&str; 2] = ["169.254.169.254", "fd20:ce::254"];

/// The port that a URL without one means.
const HTTP: u16 = 80;

/// Adds [`AnswerProxyRequests`] to a service.
#[derive(Debug, Clone)]
pub struct AnswerProxyRequestsLayer {
    own: SocketAddr,
}

impl AnswerProxyRequestsLayer {
    /// A layer that also answers requests for this address of the server.
    pub fn new(own: SocketAddr) -> Self {
        Self { own }
    }
}

impl<S> Layer<S> for AnswerProxyRequestsLayer {
    type Service = AnswerProxyRequests<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AnswerProxyRequests { inner, own: self.own }
    }
}

/// Admits a request whose target has no host, as clients send it to a server, and a request for a name of the metadata server, as
/// clients send it to a proxy (`GET http://metadata.google.internal/…`). Answers 403 with the reason to any other request that is
/// meant for a proxy.
#[derive(Debug, Clone)]
pub struct AnswerProxyRequests<S> {
    inner: S,
    own: SocketAddr,
}

impl AnswerProxyRequests<()> {
    /// The layer that adds this service: [`AnswerProxyRequestsLayer::new`].
    pub fn layer(own: SocketAddr) -> AnswerProxyRequestsLayer {
        AnswerProxyRequestsLayer::new(own)
    }
}

impl<S> AnswerProxyRequests<S> {
    inner_service_accessors!();

    fn is_for_this_server<B>(&self, request: &Request<B>) -> bool {
        let Some(authority) = request.uri().authority() else { return true };
        request.method() != Method::CONNECT && (is_metadata(authority) || self.is_own(authority))
    }

    fn is_own(&self, authority: &Authority) -> bool {
        let host = bare_host(authority);
        let is_loopback_name = self.own.ip().is_loopback() && host.eq_ignore_ascii_case("localhost");
        let is_own_address = host.parse::<IpAddr>().is_ok_and(|address| address == self.own.ip());
        port(authority) == Some(self.own.port()) && (is_own_address || is_loopback_name)
    }

    fn refusal(&self) -> Rejection {
        let words = format!(
            "This is an emulator of GCE's metadata server at {}, which is set as the HTTP proxy (HTTP_PROXY). It answers requests \
             for metadata.google.internal, metadata.goog, metadata and 169.254.169.254, and forwards no others. Add the host of this \
             request to NO_PROXY, or do without the proxy.\n",
            self.own
        );
        Rejection::Worded {
            status: StatusCode::FORBIDDEN,
            content_type: HeaderValue::from_static("text/plain; charset=UTF-8"),
            words: words.into(),
        }
    }
}

fn is_metadata(authority: &Authority) -> bool {
    let host = bare_host(authority);
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_known = |known: &&str| name.eq_ignore_ascii_case(known);
    port(authority) == Some(HTTP) && (METADATA.iter().any(is_known) || METADATA_ADDRESSES.contains(&host))
}

/// The host without brackets.
fn bare_host(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// The port; `None` if it is not a number.
fn port(authority: &Authority) -> Option<u16> {
    let has_port = !authority.as_str().ends_with(authority.host());
    if has_port { authority.port_u16() } else { Some(HTTP) }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AnswerProxyRequests<S>
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
        if self.is_for_this_server(&request) {
            ResponseFuture::admitted(self.inner.call(request))
        } else {
            ResponseFuture::refused(self.refusal(), RequestHead::from_request(request))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};

    fn layer(own: &str) -> AnswerProxyRequestsLayer {
        AnswerProxyRequestsLayer::new(own.parse().unwrap())
    }

    async fn is_answered(own: &str, target: &str) {
        let request = Request::get(target).body(()).unwrap();
        let answer = mock_exchange(layer(own), request, Response::new(Bytes::new())).await;
        assert_eq!(answer.status(), 200, "{target}");
    }

    async fn is_refused(request: Request<()>) {
        let target = request.uri().to_string();
        let answer = mock_refusal::<_, Bytes>(layer("127.0.0.1:8080"), request).await;
        assert_eq!(answer.status(), 403, "{target}");
        assert!(String::from_utf8_lossy(answer.body()).contains("at 127.0.0.1:8080, which is set as the HTTP proxy"));
    }

    #[tokio::test]
    async fn requests_for_the_metadata_server_are_answered() {
        for target in [
            "/computeMetadata/v1/",
            "http://metadata.google.internal/computeMetadata/v1/",
            "http://METADATA.google.internal.:80/",
            "http://metadata/",
            "http://metadata.goog/",
            "http://169.254.169.254/",
            "http://[fd20:ce::254]/",
            "http://127.0.0.1:8080/",
            "http://localhost:8080/",
        ] {
            is_answered("127.0.0.1:8080", target).await;
        }
        is_answered("[::1]:8080", "http://[::1]:8080/").await;
    }

    #[tokio::test]
    async fn requests_for_other_servers_are_refused() {
        for target in [
            "http://www.example.com/",
            "http://metadata.google.internal.example.com/",
            "http://metadata.google.internal:8080/",
            "http://127.0.0.1/",
            "http://127.0.0.1:9090/",
            "http://10.0.0.1:8080/",
            "http://metadata.google.internal@www.example.com/",
        ] {
            is_refused(Request::get(target).body(()).unwrap()).await;
        }
        is_refused(Request::connect("metadata.google.internal:80").body(()).unwrap()).await;
    }
}
