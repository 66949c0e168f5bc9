//! Refuses requests without `Metadata-Flavor: Google`, which stops server-side request forgery (SSRF).
//!
//! A server that was tricked into fetching a URL can't set that header, and neither can a web page. A proxy adds
//! `X-Forwarded-For`. The layer checks both before any work is done.
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
//! let without_header = Request::get("/any/path").body(()).unwrap();
//! assert_eq!(service.clone().oneshot(without_header).await.unwrap().status(), 403);
//! let with_header = Request::get("/any/path").header("Metadata-Flavor", "Google").body(()).unwrap();
//! assert_eq!(service.oneshot(with_header).await.unwrap().status(), 200);
//! # }
//! ```

use crate::path::MetadataPath;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use std::borrow::Cow;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Adds [`RequireFlavor`] to a service.
#[derive(Debug, Clone, Default)]
pub struct RequireFlavorLayer {
    scope: Scope,
}

/// The paths that require the header: those below this one, which has no slash at its end. Empty for all paths.
type Scope = Cow<'static, str>;

impl RequireFlavorLayer {
    /// A layer that requires the header on every path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires the header only below this path, and not at the path itself. GCE's server requires it below
    /// `/computeMetadata/v1`: `/` and `/computeMetadata/` are answered without it.
    ///
    /// Runs of slashes count as one slash, in this path and in those of requests. `X-Forwarded-For` stays refused on every
    /// path.
    ///
    /// ```
    /// use gce_metadata_layers::RequireFlavorLayer;
    ///
    /// let layer = RequireFlavorLayer::new().below("/computeMetadata/v1");
    /// # drop(layer);
    /// ```
    #[must_use]
    pub fn below(self, path: impl Into<Cow<'static, str>>) -> Self {
        let path = path.into();
        // A spelling that matches no request would admit every request.
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let normalized: String = segments.flat_map(|segment| ["/", segment]).collect();
        Self { scope: if normalized == path { path } else { normalized.into() } }
    }
}

impl<S> Layer<S> for RequireFlavorLayer {
    type Service = RequireFlavor<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequireFlavor { inner, scope: self.scope.clone() }
    }
}

/// Answers 403 to a request without `Metadata-Flavor: Google` (or the older `X-Google-Metadata-Request: True`) on the paths
/// that require it, with `Connection: close` as GCE does, and to every request with an `X-Forwarded-For` header, even an empty one.
#[derive(Debug, Clone)]
pub struct RequireFlavor<S> {
    inner: S,
    scope: Scope,
}

impl RequireFlavor<()> {
    /// The layer that adds this service: [`RequireFlavorLayer::new`].
    pub fn layer() -> RequireFlavorLayer {
        RequireFlavorLayer::new()
    }
}

impl<S> RequireFlavor<S> {
    inner_service_accessors!();

    fn check<B>(&self, request: &Request<B>) -> Result<(), Rejection> {
        let Flavor { is_forwarded, has_flavor } = Flavor::of(request.headers());
        if is_forwarded {
            return Err(Rejection::Forbidden);
        }
        let is_required =
            || self.scope.is_empty() || MetadataPath::new(request.uri().path()).below(&self.scope).is_some();
        if !has_flavor && is_required() {
            return Err(Rejection::MissingFlavor);
        }
        Ok(())
    }
}

/// What the headers say about the origin of a request.
#[derive(Default)]
struct Flavor {
    is_forwarded: bool,
    has_flavor: bool,
}

impl Flavor {
    /// Reads all headers once. Requests have few, so that costs less than three look-ups.
    fn of(headers: &HeaderMap) -> Self {
        let mut flavor = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "metadata-flavor" => flavor.has_flavor |= value == "Google",
                "x-google-metadata-request" => flavor.has_flavor |= value.as_bytes().eq_ignore_ascii_case(b"True"),
                "x-forwarded-for" => flavor.is_forwarded = true,
                _ => {}
            }
        }
        flavor
    }
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
            Err(rejection) => ResponseFuture::refused(rejection, RequestHead::from_request(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{mock_exchange, mock_refusal};

    const ID: &str = "/computeMetadata/v1/instance/id";

    async fn admits(uri: &str, headers: &[(&str, &str)]) {
        layer_admits(RequireFlavorLayer::new(), uri, headers).await;
    }

    async fn layer_admits(layer: RequireFlavorLayer, uri: &str, headers: &[(&str, &str)]) {
        let answer = mock_exchange(layer, request(uri, headers), Response::new(Bytes::new())).await;
        assert_eq!(answer.status(), 200, "{uri} {headers:?}");
    }

    async fn refuses(uri: &str, headers: &[(&str, &str)]) -> String {
        layer_refuses(RequireFlavorLayer::new(), uri, headers).await
    }

    async fn layer_refuses(layer: RequireFlavorLayer, uri: &str, headers: &[(&str, &str)]) -> String {
        let answer = mock_refusal::<_, Bytes>(layer, request(uri, headers)).await;
        assert_eq!(answer.status(), 403, "{uri} {headers:?}");
        String::from_utf8(answer.into_body().to_vec()).unwrap()
    }

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let builder = headers.iter().fold(Request::get(uri), |builder, (name, value)| builder.header(*name, *value));
        builder.body(()).unwrap()
    }

    #[tokio::test]
    async fn a_request_with_the_header_or_its_predecessor_is_admitted() {
        admits(ID, &[("metadata-flavor", "Google")]).await;
        admits(ID, &[("X-Google-Metadata-Request", "True")]).await;
        admits(ID, &[("Metadata-Flavor", "Amazon"), ("Metadata-Flavor", "Google")]).await;
    }

    #[tokio::test]
    async fn a_request_without_the_header_or_with_a_wrong_value_is_refused() {
        for headers in [&[][..], &[("metadata-flavor", "google")], &[("x-google-metadata-request", "no")]] {
            assert!(refuses(ID, headers).await.contains("Missing Metadata-Flavor:Google header."));
        }
    }

    #[tokio::test]
    async fn by_default_every_path_requires_the_header() {
        for path in ["/", "/mine", "/computeMetadata/", "/computeMetadata/v1", ID] {
            refuses(path, &[]).await;
            admits(path, &[("metadata-flavor", "Google")]).await;
        }
    }

    #[tokio::test]
    async fn below_a_path_means_its_children_with_runs_of_slashes_as_one() {
        let layer = || RequireFlavorLayer::new().below("/computeMetadata/v1");
        for path in ["/computeMetadata/v1/", "//computeMetadata//v1/", ID] {
            layer_refuses(layer(), path, &[]).await;
        }
        for path in ["/", "/computeMetadata/", "/computeMetadata/v1", "/computeMetadata/v1beta1/"] {
            layer_admits(layer(), path, &[]).await;
        }
    }

    #[tokio::test]
    async fn below_takes_each_spelling_of_a_path() {
        for path in ["/a/b", "/a/b/", "a/b", "//a//b//"] {
            layer_refuses(RequireFlavorLayer::new().below(path), "/a/b/c", &[]).await;
            layer_admits(RequireFlavorLayer::new().below(path.to_owned()), "/a/c", &[]).await;
        }
        for path in ["", "/"] {
            layer_refuses(RequireFlavorLayer::new().below(path), "/", &[]).await;
        }
    }

    #[tokio::test]
    async fn a_forwarded_request_is_refused_on_every_path_even_if_the_header_is_empty() {
        refuses(ID, &[("metadata-flavor", "Google"), ("x-forwarded-for", "")]).await;
        layer_refuses(RequireFlavorLayer::new().below("/a"), "/", &[("x-forwarded-for", "192.0.2.1")]).await;
    }
}
