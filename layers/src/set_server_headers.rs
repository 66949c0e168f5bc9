//! The headers that each answer of the metadata server has, refusals and redirects included.
//!
//! Client libraries detect Google Cloud by the header `Metadata-Flavor: Google` of an answer.
//!
//! ```
//! use gce_metadata_layers::SetServerHeadersLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(SetServerHeadersLayer::new())
//!     .service(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
//! let answer = service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.headers()["metadata-flavor"], "Google");
//! # }
//! ```

use http::{HeaderName, HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

const METADATA_FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (METADATA_FLAVOR, HeaderValue::from_static("Google")),
    (header::SERVER, HeaderValue::from_static("Metadata Server for VM")),
    (header::X_XSS_PROTECTION, HeaderValue::from_static("0")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN")),
];

/// Adds [`SetServerHeaders`] to a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetServerHeadersLayer(());

impl SetServerHeadersLayer {
    /// A layer without settings.
    pub fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for SetServerHeadersLayer {
    type Service = SetServerHeaders<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SetServerHeaders { inner }
    }
}

/// Sets `Metadata-Flavor`, `Server`, `X-XSS-Protection` and `X-Frame-Options` on each answer of the inner service.
#[derive(Debug, Clone)]
pub struct SetServerHeaders<S> {
    inner: S,
}

impl SetServerHeaders<()> {
    /// The layer that adds this service: [`SetServerHeadersLayer::new`].
    pub fn layer() -> SetServerHeadersLayer {
        SetServerHeadersLayer::new()
    }
}

impl<S> SetServerHeaders<S> {
    inner_service_accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SetServerHeaders<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture { inner: self.inner.call(request) }
    }
}

/// The names of headers that [`SetServerHeaders`] leaves as they are in the response that has this value in its extensions: set to
/// another value, or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnHeaders(pub Arc<[HeaderName]>);

pin_project! {
    /// The future of [`SetServerHeaders`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut outcome = self.project().inner.poll(cx);
        // Changed in place, because a response is large.
        if let Poll::Ready(Ok(response)) = &mut outcome {
            let own = response.extensions().get::<OwnHeaders>().cloned();
            let headers = response.headers_mut();
            match own {
                None => HEADERS.map(|(name, value)| _ = headers.insert(name, value)),
                Some(OwnHeaders(own)) => HEADERS.map(|(name, value)| {
                    if !own.contains(&name) {
                        headers.insert(name, value);
                    }
                }),
            };
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::mock_exchange;

    #[tokio::test]
    async fn refusals_have_the_headers_too() {
        let refused = Response::builder().status(403).header("server", "another server").body(()).unwrap();
        let answer = mock_exchange(SetServerHeadersLayer::new(), Request::new(()), refused).await;
        assert_eq!(answer.status(), 403);
        assert_eq!(answer.headers().len(), 4);
        assert_eq!(answer.headers()["metadata-flavor"], "Google");
        assert_eq!(answer.headers()["server"], "Metadata Server for VM");
        assert_eq!(answer.headers()["x-xss-protection"], "0");
        assert_eq!(answer.headers()["x-frame-options"], "SAMEORIGIN");
    }

    #[tokio::test]
    async fn own_headers_of_a_response_are_left_as_they_are() {
        let mut faulty = Response::builder().header("server", "another server").body(()).unwrap();
        let names = ["server", "metadata-flavor"].map(HeaderName::from_static);
        faulty.extensions_mut().insert(OwnHeaders(names.into()));
        let answer = mock_exchange(SetServerHeadersLayer::new(), Request::new(()), faulty).await;
        assert_eq!(answer.headers()["server"], "another server");
        assert!(!answer.headers().contains_key("metadata-flavor"));
        assert_eq!(answer.headers()["x-xss-protection"], "0");
    }
}
