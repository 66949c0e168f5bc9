//! Serves a metadata server below a path of an outer router.
//!
//! A router such as axum's strips the path of a nested service from each request: below `nest_service("/vm", …)` the request
//! for `/vm/computeMetadata/v1/instance` has the path `/computeMetadata/v1/instance`. A redirect made from that path would lead
//! out of the mount. This layer tells the layers and routes inside of it what was stripped.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{MountLayer, MountPath, Rejection, RequestHead};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let service = ServiceBuilder::new()
//!     .layer(MountLayer::new(MountPath::new("/vm")?))
//!     .service(service_fn(async |request: Request<()>| {
//!         let answer: Response<Bytes> = Rejection::MissingSlash.into_response(&RequestHead::of(&request));
//!         Ok::<_, std::convert::Infallible>(answer)
//!     }));
//! let request = Request::get("/computeMetadata/v1").header("Host", "localhost").body(())?;
//! let answer = service.oneshot(request).await?;
//! assert_eq!(answer.headers()["location"], "http://localhost/vm/computeMetadata/v1/");
//! # Ok(()) }
//! ```

use crate::path::MetadataPath;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// The path at which every metadata server begins. Its own paths contain it, so it is restored if it was stripped.
const ROOT: &str = "/computeMetadata";

/// The path that an outer router strips from the requests of a nested service, such as `/vm`.
///
/// In the extensions of a request, it is the prefix of redirects and of the URLs on error pages. [`MountLayer`] puts it there.
/// Where the prefix differs between requests, as with axum's `nest_service("/vms/{name}", …)`, a layer of your own does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MountPath(Arc<str>);

impl MountPath {
    /// Reads a path. Runs of slashes count as one slash, a slash at the end is ignored, and `/` is no prefix.
    ///
    /// # Errors
    /// If the path does not begin with a slash, or has characters that a URL's path can't have, such as `?`, `#`, spaces and
    /// the braces of a placeholder.
    pub fn new(path: &str) -> Result<Self, InvalidMountPath> {
        let normalized = MetadataPath::new(path);
        let normalized = normalized.as_str().trim_end_matches('/');
        let is_path = |path: &str| path.starts_with('/') && !path.contains(['?', '#', '{', '}']);
        let is_valid = normalized.is_empty() || is_path(normalized) && PathAndQuery::try_from(normalized).is_ok();
        if is_valid { Ok(Self(normalized.into())) } else { Err(InvalidMountPath(path.to_owned())) }
    }

    /// The path without a slash at its end; empty if there is no prefix.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Splits the path before its first segment `computeMetadata`.
    fn split_at_root(&self) -> (&str, &str) {
        let is_segment = |start: &usize| self.0[start + ROOT.len()..].chars().next().is_none_or(|next| next == '/');
        let start = self.0.match_indices(ROOT).map(|(start, _)| start).find(is_segment);
        self.0.split_at(start.unwrap_or(self.0.len()))
    }
}

/// Why a text is no [`MountPath`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidMountPath(String);

impl std::fmt::Display for InvalidMountPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "mount path `{}`: expected a path such as /vm, percent-encoded and without a placeholder", self.0)
    }
}

impl std::error::Error for InvalidMountPath {}

/// Adds [`Mount`] to a service.
#[derive(Debug, Clone, Default)]
pub struct MountLayer {
    prefix: Option<MountPath>,
    root: Arc<str>,
}

impl MountLayer {
    /// A layer for a service that is mounted at this path.
    ///
    /// The part of the path from `/computeMetadata` on is also part of the service's own paths: mounted at `/computeMetadata`,
    /// a request for `/v1/instance/id` becomes one for `/computeMetadata/v1/instance/id`.
    pub fn new(path: MountPath) -> Self {
        let (prefix, root) = path.split_at_root();
        Self { prefix: (!prefix.is_empty()).then(|| MountPath(prefix.into())), root: root.into() }
    }
}

impl<S> Layer<S> for MountLayer {
    type Service = Mount<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Mount { inner, mount: self.clone() }
    }
}

/// Puts the [`MountPath`] into the extensions of each request, and restores a stripped `/computeMetadata` in its path.
#[derive(Debug, Clone)]
pub struct Mount<S> {
    inner: S,
    mount: MountLayer,
}

impl Mount<()> {
    /// The layer that adds this service: [`MountLayer::new`].
    pub fn layer(path: MountPath) -> MountLayer {
        MountLayer::new(path)
    }
}

impl<S> Mount<S> {
    inner_service_accessors!();
}

impl<S, ReqBody> Service<Request<ReqBody>> for Mount<S>
where
    S: Service<Request<ReqBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        if !self.mount.root.is_empty()
            && let Some(uri) = with_prefix(request.uri(), &self.mount.root)
        {
            *request.uri_mut() = uri;
        }
        if let Some(prefix) = &self.mount.prefix {
            request.extensions_mut().insert(prefix.clone());
        }
        self.inner.call(request)
    }
}

/// The URI with this prefix before its path. `None` if it has no path, as the targets of `OPTIONS *` and `CONNECT`, or if it would be
/// longer than a URI can be. Such a request stays as it is, and no route matches it.
fn with_prefix(uri: &Uri, prefix: &str) -> Option<Uri> {
    let target = uri.path_and_query().filter(|target| target.path().starts_with('/'))?;
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("{prefix}{target}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Rejection;
    use crate::request_head::RequestHead;
    use bytes::Bytes;
    use http::Response;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    /// The path that the inner service receives, the target of a redirect that it answers, and the body of that redirect.
    async fn mounted(path: &str, uri: &str) -> (String, String, String) {
        let inner = service_fn(async |request: Request<()>| {
            let mut answer: Response<Bytes> = Rejection::MissingSlash.into_response(&RequestHead::of(&request));
            answer.extensions_mut().insert(request.uri().clone());
            Ok::<_, Infallible>(answer)
        });
        let service = MountLayer::new(MountPath::new(path).unwrap()).layer(inner);
        let answer = service.oneshot(Request::get(uri).header("host", "h").body(()).unwrap()).await.unwrap();
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let received = answer.extensions().get::<Uri>().unwrap().to_string();
        (received, location, String::from_utf8(answer.into_body().to_vec()).unwrap())
    }

    fn owned(expected: [&str; 3]) -> (String, String, String) {
        let [received, location, body] = expected.map(str::to_owned);
        (received, location, body)
    }

    #[tokio::test]
    async fn a_redirect_keeps_the_prefix_that_was_stripped() {
        for path in ["/vm", "/vm/", "//vm"] {
            let expected =
                ["/computeMetadata//v1?a=b", "http://h/vm/computeMetadata/v1/?a=b", "/vm/computeMetadata/v1/\n"];
            assert_eq!(mounted(path, "/computeMetadata//v1?a=b").await, owned(expected), "{path}");
        }
        let expected = ["/computeMetadata", "http://h/computeMetadata/", "/computeMetadata/\n"];
        assert_eq!(mounted("/", "/computeMetadata").await, owned(expected));
    }

    #[tokio::test]
    async fn a_stripped_root_is_restored() {
        let expected = ["/computeMetadata/v1?a=b", "http://h/computeMetadata/v1/?a=b", "/computeMetadata/v1/\n"];
        assert_eq!(mounted("/computeMetadata", "/v1?a=b").await, owned(expected));
        let expected = ["/computeMetadata/v1/a", "http://h/vm/computeMetadata/v1/a/", "/vm/computeMetadata/v1/a/\n"];
        assert_eq!(mounted("/vm/computeMetadata/v1", "/a").await, owned(expected));
        let expected = ["http://h/computeMetadata/v1", "http://h/computeMetadata/v1/", "/computeMetadata/v1/\n"];
        assert_eq!(mounted("/computeMetadata", "http://h/v1").await, owned(expected));
        let expected = ["/v1", "http://h/computeMetadataX/v1/", "/computeMetadataX/v1/\n"];
        assert_eq!(mounted("/computeMetadataX", "/v1").await, owned(expected));
    }

    #[test]
    fn a_target_that_can_not_take_a_prefix_stays_as_it_is() {
        let long = format!("/{}", "a".repeat(65_530));
        for uri in ["*", "metadata:80", &long] {
            assert_eq!(with_prefix(&uri.parse().unwrap(), ROOT), None, "{}", &uri[..uri.len().min(20)]);
        }
    }

    #[test]
    fn error_pages_show_the_url_with_the_prefix() {
        let mut request = Request::get("/x?'").body(()).unwrap();
        request.extensions_mut().insert(MountPath::new("/vm").unwrap());
        for head in [RequestHead::of(&request), RequestHead::from_request(request)] {
            let page: Response<Bytes> = Rejection::NotFound.into_response(&head);
            let page = String::from_utf8(page.into_body().to_vec()).unwrap();
            assert!(page.contains("<code>/vm/x?&#39;</code>"), "{page}");
        }
    }

    #[test]
    fn a_text_that_is_no_path_is_an_error_with_the_remedy() {
        for path in ["vm", "/vm?a", "/vm#a", "/a b", "/vms/{name}", "http://h/vm"] {
            let error = MountPath::new(path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("mount path `{path}`: expected a path such as /vm")), "{error}");
        }
    }
}
