//! Routes requests to endpoints, with matchit.
//!
//! The body of a response is the node that the path names, not bytes. [`RenderLayer`](gce_metadata_layers::RenderLayer) renders it, so a
//! stack with that layer in the wrong place does not compile.

mod changes;

pub use changes::RouterChanges;

use crate::endpoint::{Answer, BodyBudget, Call, Endpoint, Reply, RequestBody};
use crate::options::RouterOptions;
use crate::paths::{self, Api, V1};
use crate::snapshot::{Publisher, Reader};
use crate::token::TokenSources;
use crate::v1;
use gce_metadata_layers::{MetadataPath, PathLabel, Rejection, RequestHead, Resolved};
use http::{Method, Request, Response};
use http_body::Body;
use matchit::Params;
use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower::Service;

/// A service that answers each request with the node at its path, or with a rejection: the innermost service of the stack. Clones are
/// cheap.
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
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    routes: Routes,
    /// Answers the paths below v1 that have no route of their own. It is not among the routes: matchit allocates memory for each request
    /// that reaches a catch-all beside other routes.
    tree: Arc<dyn Endpoint>,
    /// The paths of the routes and of the tree, to find conflicts.
    paths: matchit::Router<()>,
    /// Whether the older APIs are served, unless an attribute disables them.
    serves_older_apis: bool,
    reader: Reader,
    bodies: BodyBudget,
}

type Routes = matchit::Router<Arc<dyn Endpoint>>;

impl Router {
    /// A router with default options for `/computeMetadata/v1/` and the directories above it. It answers from the publisher's tree, and
    /// publishes the guest attributes that clients write.
    pub fn new(publisher: Publisher, tokens: TokenSources) -> Self {
        Self::with_options(publisher, tokens, RouterOptions::default())
    }

    /// A router with these options.
    pub fn with_options(publisher: Publisher, tokens: TokenSources, options: RouterOptions) -> Self {
        let (routes, paths) = from_table(v1::routes(&publisher, &tokens, &options));
        let inner = Inner {
            routes,
            tree: v1::tree(&publisher),
            paths,
            serves_older_apis: options.legacy_endpoints,
            reader: publisher.reader(),
            bodies: BodyBudget::new(options.max_body_bytes_in_flight),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Adds a route to an endpoint. The path has matchit's syntax: `/{name}` matches one segment, `/{*rest}` the rest of the path. A path
    /// below `/computeMetadata/v1/` is also served by the older APIs.
    ///
    /// ```
    /// use gce_metadata_layers::Rejection;
    /// use gce_metadata_routes::endpoint::{Answer, Call, Endpoint, Reply};
    /// use gce_metadata_routes::{Leaf, Metadata, Publisher, Router, TokenSources};
    /// use http::HeaderValue;
    ///
    /// struct Method;
    ///
    /// impl Endpoint for Method {
    ///     fn call(&self, call: Call<'_>) -> Reply {
    ///         let leaf = Leaf::text_by_default(call.head.method().as_str());
    ///         Ok(Answer::computed(leaf, HeaderValue::from_static("application/text"))).into()
    ///     }
    /// }
    ///
    /// let publisher = Publisher::new(Metadata::sample().tree());
    /// let router = Router::new(publisher, TokenSources::default()).with_route("/my/method", Method)?;
    /// assert!(router.with_route("/my/{name}/", Method)?.with_route("/my/method", Method).is_err());
    /// # Ok::<_, gce_metadata_routes::RouteConflict>(())
    /// ```
    ///
    /// # Errors
    /// If the path conflicts with another route, or does not have matchit's syntax.
    pub fn with_route(
        mut self,
        path: impl Into<String>,
        endpoint: impl Endpoint + 'static,
    ) -> Result<Self, RouteConflict> {
        let path = path.into();
        let inner = Arc::make_mut(&mut self.inner);
        let inserted = inner.paths.insert(path.as_str(), ());
        match inserted.and_then(|()| inner.routes.insert(path.as_str(), Arc::new(endpoint))) {
            Ok(()) => Ok(self),
            Err(error) => Err(RouteConflict { path, problem: error.to_string() }),
        }
    }

    /// A reader of the metadata that the routes answer from.
    pub fn reader(&self) -> Reader {
        self.inner.reader.clone()
    }

    /// Routes a request to its endpoint.
    pub(crate) fn route(&self, head: &RequestHead, body: RequestBody) -> Reply {
        let path = head.path();
        // A target without a path, as in CONNECT, counts as the root.
        let path = if path.as_str().is_empty() { MetadataPath::new("/") } else { path };
        let (api, resolved) = paths::resolve(path.as_str());
        if api == Api::Older
            && let Err(rejection) = self.inner.check_older_api(head.method())
        {
            return Err(rejection).into();
        }
        // A path of v1 is normalized already.
        let resolved = match &resolved {
            Cow::Borrowed(_) => None,
            Cow::Owned(resolved) => Some(MetadataPath::new(resolved)),
        };
        let path = resolved.as_ref().unwrap_or(&path);
        let (endpoint, params) = match self.inner.routes.at(path.as_str()) {
            Ok(found) => (found.value, found.params),
            Err(_) if path.below(V1).is_some() => (&self.inner.tree, Params::default()),
            // A write is 405 on GCE even if the path does not exist: AWS clients probe with `PUT /latest/api/token`.
            Err(_) if !is_read(head.method()) => return Err(Rejection::MethodNotAllowed).into(),
            Err(_) => return Err(Rejection::NotFound).into(),
        };
        if !endpoint.allows(head.method()) {
            return Err(Rejection::MethodNotAllowed).into();
        }
        endpoint.call(Call { head, path, body, params })
    }
}

impl Inner {
    /// Rejects requests to the older APIs while these are disabled, and all writes. GCE disabled them because they require no header.
    fn check_older_api(&self, method: &Method) -> Result<(), Rejection> {
        if !is_read(method) {
            return Err(Rejection::MethodNotAllowed);
        }
        if !self.serves_older_apis || self.reader.snapshot().tree().is_switched_on("disable-legacy-endpoints") {
            return Err(Rejection::LegacyEndpoint);
        }
        Ok(())
    }
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// Builds a matchit router from a table of this crate, and another one of all paths.
#[expect(
    clippy::expect_used,
    reason = "the tables are constants: a conflict is a bug, which every test of the router finds"
)]
fn from_table(table: Vec<(&'static str, Arc<dyn Endpoint>)>) -> (Routes, matchit::Router<()>) {
    let (mut routes, mut paths) = (Routes::new(), matchit::Router::new());
    for path in v1::TREE.into_iter().chain(table.iter().map(|(path, _)| *path)) {
        paths.insert(path, ()).expect("the routes of the table do not conflict");
    }
    for (path, endpoint) in table {
        routes.insert(path, endpoint).expect("the routes of the table do not conflict");
    }
    (routes, paths)
}

/// Why a route could not be added: it conflicts with another one, or its syntax is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("route {path}: {problem}")]
pub struct RouteConflict {
    path: String,
    problem: String,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Router
where
    B: Body<Data: Send> + Send + 'static,
{
    type Response = Response<Resolved<Outcome>>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = RequestHead::split(request);
        let body = RequestBody::new(body, &self.inner.bodies);
        ResponseFuture(Some(Box::new(Replying { reply: self.route(&head, body), head })))
    }
}

/// The answer of the endpoint, or a rejection.
pub type Outcome = Result<Answer, Rejection>;

/// The response future of [`Router`].
///
/// # Panics
/// If it is polled after completion.
pub struct ResponseFuture(Option<Box<Replying>>);

/// In a box, because each layer of the stack moves the future.
struct Replying {
    reply: Reply,
    head: RequestHead,
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Resolved<Outcome>>, Infallible>;

    #[expect(clippy::expect_used, reason = "a future that is polled after completion would never complete without it")]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let replying = self.0.as_mut().expect("`ResponseFuture` polled after completion");
        let outcome = ready!(Pin::new(&mut replying.reply).poll(cx));
        if let Some(label) = label(&outcome, replying.reply.counted_as) {
            replying.head.extensions_mut().insert(label);
        }
        let head = self.0.take().map(|replying| replying.head).expect("it was there before");
        Poll::Ready(Ok(Response::new(Resolved::new(outcome, head))))
    }
}

/// The metrics label for the path; `None` if it does not exist, or was not looked up.
fn label(outcome: &Outcome, counted_as: Option<&'static str>) -> Option<PathLabel> {
    match (outcome, counted_as) {
        (Err(Rejection::NotFound | Rejection::MethodNotAllowed | Rejection::LegacyEndpoint), _) => None,
        (_, Some(directory)) => Some(PathLabel::Below(directory)),
        (Err(Rejection::MissingSlash), None) => Some(PathLabel::WithoutSlash),
        _ => Some(PathLabel::AsRequested),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;

    struct Mine;

    impl Endpoint for Mine {
        fn call(&self, _: Call<'_>) -> Reply {
            Ok(Answer::text("mine")).into()
        }
    }

    fn router(legacy_endpoints: bool) -> Router {
        let options = RouterOptions { legacy_endpoints, ..RouterOptions::default() };
        Router::with_options(Publisher::new(Metadata::sample().tree()), TokenSources::default(), options)
    }

    async fn status(router: &Router, method: &str, path: &str) -> u16 {
        let head = RequestHead::of(&Request::builder().method(method).uri(path).body(()).unwrap());
        let outcome = router.route(&head, RequestBody::made(Default::default)).await;
        outcome.map_or_else(|rejection| rejection.status().as_u16(), |_| 200)
    }

    #[tokio::test]
    async fn a_route_below_v1_is_served_below_v1beta1_too() {
        let router = router(true).with_route("/computeMetadata/v1/instance/mine", Mine).unwrap();
        assert_eq!(status(&router, "GET", "/computeMetadata/v1/instance/mine").await, 200);
        assert_eq!(status(&router, "GET", "/computeMetadata/v1beta1/instance/mine").await, 200);
    }

    #[tokio::test]
    async fn older_apis_are_read_only_and_disabled_by_default() {
        for (path, served) in [
            ("/0.1", 301),
            ("/0.1/", 200),
            ("/0.1/meta-data", 301),
            ("/0.1/meta-data/", 200),
            ("/0.1/meta-data/zone", 200),
            ("/0.1/none", 404),
            ("/computeMetadata/v1beta1", 301),
            ("/computeMetadata/v1beta1/", 200),
            ("/computeMetadata/v1beta1/none", 404),
        ] {
            assert_eq!(status(&router(true), "GET", path).await, served, "{path}");
            assert_eq!(status(&router(false), "GET", path).await, 403, "{path}");
            assert_eq!(status(&router(true), "PUT", path).await, 405, "{path}");
            assert_eq!(status(&router(false), "PUT", path).await, 405, "{path}");
        }
    }

    #[test]
    fn a_conflicting_route_is_an_error_with_its_path() {
        let conflict = router(false).with_route("/computeMetadata/v1/{*rest}", Mine).unwrap_err();
        assert!(conflict.to_string().starts_with("route /computeMetadata/v1/{*rest}: "), "{conflict}");
        let shared: Arc<dyn Endpoint> = Arc::new(Mine);
        assert!(router(false).with_route(String::from("/mine"), shared).is_ok());
    }

    #[test]
    #[should_panic(expected = "the routes of the table do not conflict")]
    fn a_conflict_in_a_table_panics() {
        from_table(vec![("/{a}", Arc::new(Mine)), ("/{b}", Arc::new(Mine))]);
    }
}
