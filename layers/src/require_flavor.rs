//! Turns away whoever doesn't know that this is a metadata server.
//!
//! A browser, or a server tricked into fetching a URL, can't set `Metadata-Flavor: Google`; a proxy adds
//! `X-Forwarded-For`. Both checks come before any work is done.
//!
//! ```
//! use gce_metadata_layers::RequireFlavorLayer;
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(RequireFlavorLayer::new())
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(bytes::Bytes::from_static(b"value")))
//!     }));
//! let stranger = Request::get("/computeMetadata/v1/instance/id").body(()).unwrap();
//! assert_eq!(service.clone().oneshot(stranger).await.unwrap().status(), 403);
//! let friend = Request::get("/computeMetadata/v1/instance/id").header("Metadata-Flavor", "Google").body(()).unwrap();
//! assert_eq!(service.oneshot(friend).await.unwrap().status(), 200);
//! # }
//! ```

use crate::path::MetadataPath;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Below this path, and nowhere else on the real server, the header is demanded.
const V1: &str = "/computeMetadata/v1";
const FLAVOR: HeaderName = HeaderName::from_static("metadata-flavor");
const FORMER_FLAVOR: HeaderName = HeaderName::from_static("x-google-metadata-request");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Adds [`RequireFlavor`] to a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequireFlavorLayer {
    everywhere: bool,
}

impl RequireFlavorLayer {
    /// Demands the header below `/computeMetadata/v1/`, as the real server does: `/` and `/computeMetadata/` answer
    /// anybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands the header on every path, for a service that is mounted elsewhere.
    pub fn everywhere() -> Self {
        Self { everywhere: true }
    }
}

impl<S> Layer<S> for RequireFlavorLayer {
    type Service = RequireFlavor<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireFlavor { inner, everywhere: self.everywhere }
    }
}

/// Answers 403 to a request without `Metadata-Flavor: Google` (or the older `X-Google-Metadata-Request: True`) where it
/// is demanded, and to any request with an `X-Forwarded-For` header, even an empty one.
#[derive(Debug, Clone)]
pub struct RequireFlavor<S> {
    inner: S,
    everywhere: bool,
}

impl<S> RequireFlavor<S> {
    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        if request.headers().contains_key(FORWARDED_FOR) {
            return Err(Rejection::Forbidden);
        }
        let demanded = self.everywhere || MetadataPath::new(request.uri().path()).below(V1).is_some();
        if demanded && !has_flavor(request.headers()) {
            return Err(Rejection::MissingFlavor);
        }
        Ok(())
    }
}

fn has_flavor(headers: &HeaderMap) -> bool {
    let is_former = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"True");
    headers.get_all(FLAVOR).iter().any(|value| value == "Google")
        || headers.get_all(FORMER_FLAVOR).iter().any(is_former)
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for RequireFlavor<S>
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
        match self.check(&request) {
            Ok(()) => ResponseFuture::admitted(self.inner.call(request)),
            Err(rejection) => ResponseFuture::refused(rejection, RequestHead::of(&request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};

    const ID: &str = "/computeMetadata/v1/instance/id";

    async fn admits(uri: &str, headers: &[(&str, &str)]) {
        let answer = mock_exchange(RequireFlavorLayer::new(), request(uri, headers), Response::new(Bytes::new())).await;
        assert_eq!(answer.status(), 200, "{uri} {headers:?}");
    }

    async fn refuses(uri: &str, headers: &[(&str, &str)]) -> String {
        let answer = mock_refusal::<_, Bytes>(RequireFlavorLayer::new(), request(uri, headers)).await;
        assert_eq!(answer.status(), 403, "{uri} {headers:?}");
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let builder = headers.iter().fold(Request::get(uri), |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap()
    }

    #[tokio::test]
    async fn the_header_or_its_predecessor_admits() {
        admits(ID, &[("metadata-flavor", "Google")]).await;
        admits(ID, &[("X-Google-Metadata-Request", "True")]).await;
        admits(ID, &[("Metadata-Flavor", "Amazon"), ("Metadata-Flavor", "Google")]).await;
    }

    #[tokio::test]
    async fn a_wrong_value_is_a_missing_header() {
        for headers in [&[][..], &[("metadata-flavor", "google")], &[("x-google-metadata-request", "no")]] {
            assert!(refuses(ID, headers).await.contains("Missing Metadata-Flavor:Google header."));
        }
        refuses("//computeMetadata//v1/", &[]).await;
    }

    #[tokio::test]
    async fn above_v1_nothing_is_demanded() {
        admits("/", &[]).await;
        admits("/computeMetadata/", &[]).await;
        admits("/computeMetadata/v1", &[]).await;
        let answer = mock_refusal::<_, Bytes>(RequireFlavorLayer::everywhere(), request("/mine", &[])).await;
        assert_eq!(answer.status(), 403);
    }

    #[tokio::test]
    async fn a_forwarded_request_is_refused_anywhere_and_even_if_empty() {
        refuses(ID, &[("metadata-flavor", "Google"), ("x-forwarded-for", "")]).await;
        refuses("/", &[("x-forwarded-for", "192.0.2.1")]).await;
    }
}
