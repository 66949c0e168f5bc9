//! From a request to the endpoint that answers it, over matchit.
//!
//! The response's body is what the path names, not bytes: [`RenderLayer`](gce_metadata_layers::RenderLayer) makes bytes of
//! it, so a stack that renders in the wrong place does not compile.

use crate::endpoint::{Answer, BodyBudget, Call, Endpoint, NoMaintenance, Reply, RequestBody, SaveGuestAttributes};
use crate::snapshot::Publisher;
use crate::token::TokenSources;
use crate::v1;
use gce_metadata_layers::{MatchedPath, MetadataPath, Query, Rejection, Represent, Representation, RequestHead};
use http::{Request, Response};
use http_body::Body;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// The innermost service of the stack.
///
/// ```
/// use bytes::Bytes;
/// use gce_metadata_layers::RenderLayer;
/// use gce_metadata_routes::{Metadata, Publisher, Router, TokenSources};
/// use http::Request;
/// use serde_json::json;
/// use tower::{Layer, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let metadata = Metadata::from_json(json!({"project": {"projectId": "my-project"}})).unwrap();
/// let publisher = Publisher::new(metadata.tree());
/// let router = Router::new(publisher, TokenSources::default());
/// let service = RenderLayer::<Bytes>::new().layer(router);
/// let request = Request::get("/computeMetadata/v1/project/project-id").body(String::new()).unwrap();
/// assert_eq!(service.oneshot(request).await.unwrap().body(), "my-project");
/// # }
/// ```
#[derive(Clone)]
pub struct Router {
    routes: Arc<matchit::Router<Arc<dyn Endpoint>>>,
    bodies: BodyBudget,
}

/// Settings of a [`Router`].
///
/// ```
/// use gce_metadata_routes::{Metadata, Publisher, Router, RouterOptions, TokenSources};
///
/// let mut options = RouterOptions::default();
/// options.legacy_endpoints = true;
/// Router::with_options(Publisher::new(Metadata::sample().tree()), TokenSources::default(), options);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    /// Serves `/0.1/` and `/computeMetadata/v1beta1/`, which GCE refuses. The attribute `disable-legacy-endpoints` switches
    /// them off again.
    pub legacy_endpoints: bool,
    /// What `instance/upcoming-maintenance` answers while there is none.
    pub no_maintenance: NoMaintenance,
    /// Saves guest attributes before a write of them is answered: 200, or 503 if it fails. Without it, a write is answered as
    /// soon as it is published.
    pub save_guest_attributes: Option<SaveGuestAttributes>,
    /// The memory of all request bodies that are being received, in bytes; 8 MiB by default. A body that would need more is
    /// answered 503. Clones of the router share it.
    pub max_body_bytes_in_flight: usize,
}

impl RouterOptions {
    /// The memory of all request bodies that are being received, in bytes, unless another limit is set.
    pub const MAX_BODY_BYTES_IN_FLIGHT: usize = 8 * 1024 * 1024;
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            legacy_endpoints: false,
            no_maintenance: NoMaintenance::default(),
            save_guest_attributes: None,
            max_body_bytes_in_flight: Self::MAX_BODY_BYTES_IN_FLIGHT,
        }
    }
}

impl Router {
    /// The routes of `/computeMetadata/v1/` and of what stands above it. What clients write is published there.
    pub fn new(publisher: Publisher, tokens: TokenSources) -> Self {
        Self::with_options(publisher, tokens, RouterOptions::default())
    }

    /// The same, with these options.
    pub fn with_options(publisher: Publisher, tokens: TokenSources, options: RouterOptions) -> Self {
        let above = v1::above(&publisher.reader(), &tokens, &options);
        let bodies = BodyBudget::new(options.max_body_bytes_in_flight);
        Self { bodies, ..Self::of(v1::routes(&publisher, &tokens, &options).into_iter().chain(above)) }
    }

    pub(crate) fn of<'a>(routes: impl IntoIterator<Item = (&'a str, Arc<dyn Endpoint>)>) -> Self {
        // The lists are constants of this crate, and tests walk them: none of their routes conflicts with another.
        let empty = Self { routes: Arc::default(), bodies: BodyBudget::new(RouterOptions::MAX_BODY_BYTES_IN_FLIGHT) };
        routes.into_iter().fold(empty, |router, (path, endpoint)| {
            router.with_route(path, endpoint).unwrap_or_else(|(router, _)| router)
        })
    }

    /// With one more route, in matchit's syntax: `/{name}` for a segment, `/{*rest}` for all that follows.
    ///
    /// # Errors
    /// If the route conflicts with another; the router comes back without it.
    pub fn with_route(mut self, path: &str, endpoint: Arc<dyn Endpoint>) -> Result<Self, (Self, RouteConflict)> {
        match Arc::make_mut(&mut self.routes).insert(path, endpoint) {
            Ok(()) => Ok(self),
            Err(conflict) => Err((self, RouteConflict(conflict.to_string()))),
        }
    }

    /// What the endpoint at this path, which need not be that of the head, makes of the request.
    pub(crate) fn route(&self, head: &RequestHead, path: &str, body: RequestBody) -> Reply {
        // A target without a path, such as CONNECT's, names the root.
        let path = if path.is_empty() { "/" } else { path };
        match self.routes.at(path) {
            Ok(found) if !found.value.allows(head.method()) => Err(Rejection::MethodNotAllowed).into(),
            Ok(found) => {
                let path = MetadataPath::new(path);
                found.value.call(Call { head, path, body, params: found.params, router: self })
            }
            Err(_) => Err(Rejection::NotFound).into(),
        }
    }
}

/// Why a route could not be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteConflict(String);

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Router
where
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<Resolved>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = RequestHead::split(request);
        ResponseFuture(self.route(&head, head.path().as_str(), RequestBody::new(body, &self.bodies)))
    }
}

/// The future of [`Router`].
pub struct ResponseFuture(Reply);

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Resolved>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|outcome| {
            let matched = matched(&outcome, self.0.counted_as);
            let mut response = Response::new(Resolved(outcome));
            if let Some(matched) = matched {
                response.extensions_mut().insert(matched);
            }
            Ok(response)
        })
    }
}

/// Whether the path names something. Where it doesn't, or nobody looked, it is the client's invention.
fn matched(outcome: &Result<Answer, Rejection>, counted_as: Option<&'static str>) -> Option<MatchedPath> {
    match (outcome, counted_as) {
        (Err(Rejection::NotFound | Rejection::MethodNotAllowed | Rejection::LegacyEndpoint), _) => None,
        (_, Some(directory)) => Some(MatchedPath::Below(directory)),
        (Err(Rejection::MissingSlash), None) => Some(MatchedPath::WithoutSlash),
        _ => Some(MatchedPath::AsRequested),
    }
}

/// What the path named, or why nothing.
#[derive(Debug)]
pub struct Resolved(Result<Answer, Rejection>);

impl Represent for Resolved {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        match &self.0 {
            Ok(answer) => answer.represent(query),
            Err(rejection) => Err(rejection.clone()),
        }
    }
}
