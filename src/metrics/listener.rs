//! The service of the metrics listener: metrics, liveness and readiness.

use super::{Metrics, State};
use crate::readiness_check::ReadinessCheck;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::body::Limited;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

/// The default timeout of a Prometheus scrape.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Limit on request bodies, which no page reads.
const MAX_BODY_BYTES: usize = 64 * 1024;

const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const PROMETHEUS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The metrics and the state that the pages render.
#[derive(Debug)]
pub(crate) struct Monitored {
    pub(crate) metrics: Metrics,
    pub(crate) state: State,
    pub(crate) readiness_check: ReadinessCheck,
}

/// The paths of the listener.
#[derive(Debug, Clone)]
pub(crate) struct Pages {
    router: matchit::Router<Page>,
    metrics_path: String,
}

#[derive(Debug, Clone, Copy)]
enum Page {
    Metrics,
    Health,
    Readiness,
}

impl Pages {
    /// Routes for the metrics at this path, `/healthz` and `/readyz`. `None` if `metrics_path` is one of the latter.
    pub(crate) fn new(metrics_path: &str) -> Option<Self> {
        // Escape braces, which matchit would read as placeholders.
        let escaped = metrics_path.replace('{', "{{").replace('}', "}}");
        let mut router = matchit::Router::new();
        for (path, page) in
            [("/healthz", Page::Health), ("/readyz", Page::Readiness), (escaped.as_str(), Page::Metrics)]
        {
            router.insert(path, page).ok()?;
        }
        Some(Self { router, metrics_path: metrics_path.to_owned() })
    }

    /// The service of the listener.
    pub(crate) fn service<B>(
        self,
        monitored: Monitored,
    ) -> impl Service<
        Request<B>,
        Response = Response<impl Body<Data = Bytes, Error = BoxError> + Send + 'static>,
        Error = Infallible,
        Future: Send,
    > + Clone
    + Send
    + 'static
    where
        B: Body + Send + 'static,
    {
        let shared = Arc::new((self, monitored));
        guarded(service_fn(move |request: Request<Limited<B>>| {
            let shared = Arc::clone(&shared);
            async move {
                let (pages, monitored) = &*shared;
                Ok(pages.answer(monitored, request.method(), request.uri().path()).await)
            }
        }))
    }

    async fn answer(&self, monitored: &Monitored, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD, please\n");
        }
        match self.router.at(path).map(|found| *found.value) {
            Ok(Page::Metrics) => monitored.metrics().await,
            Ok(Page::Health) => plain(StatusCode::OK, "ok\n"),
            Ok(Page::Readiness) => monitored.readiness().await,
            Err(_) => plain(StatusCode::NOT_FOUND, format!("{}, /healthz and /readyz are here\n", self.metrics_path)),
        }
    }
}

impl Monitored {
    async fn metrics(&self) -> Response<Full<Bytes>> {
        response(StatusCode::OK, PROMETHEUS, self.metrics.render(&self.state))
    }

    async fn readiness(&self) -> Response<Full<Bytes>> {
        let failing: String = self.readiness_check.failing().map(|reason| format!("{reason}\n")).collect();
        match &*failing {
            "" => plain(StatusCode::OK, "ok\n"),
            _ => plain(StatusCode::SERVICE_UNAVAILABLE, failing),
        }
    }
}

/// The layers around the pages.
fn guarded<B, S>(
    pages: S,
) -> impl Service<
    Request<B>,
    Response = Response<impl Body<Data = Bytes, Error = BoxError> + Send + 'static>,
    Error = Infallible,
    Future: Send,
> + Clone
+ Send
+ 'static
where
    B: Body + Send + 'static,
    S: Service<Request<Limited<B>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + 'static,
{
    ServiceBuilder::new()
        // Outermost, because any other layer may panic: the client gets 500, and the connection stays open.
        .layer(CatchPanicLayer::new())
        // A page that hangs must not block one of the listener's few connections.
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIMEOUT))
        // A client must not send large bodies.
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .service(pages)
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    response(status, PLAIN, body)
}

fn response(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::time::Instant;
    use tower::ServiceExt;

    /// Pages that panic and hang.
    async fn faulty(request: Request<Limited<String>>) -> Result<Response<Full<Bytes>>, Infallible> {
        match request.uri().path() {
            "/panic" => panic!("a page panics"),
            "/hang" => pending().await,
            _ => Ok(plain(StatusCode::OK, "ok\n")),
        }
    }

    async fn status(path: &str, body: &str) -> u16 {
        let request = Request::get(path).header("content-length", body.len()).body(body.to_owned()).unwrap();
        guarded(service_fn(faulty)).oneshot(request).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_page_that_panics_is_answered_500_and_the_next_request_is_served() {
        assert_eq!(status("/panic", "").await, 500);
        assert_eq!(status("/", "").await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_that_hangs_is_answered_503() {
        let start = Instant::now();
        assert_eq!(status("/hang", "").await, 503);
        assert_eq!(start.elapsed(), TIMEOUT);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_answered_413() {
        assert_eq!(status("/", &"a".repeat(MAX_BODY_BYTES)).await, 200);
        assert_eq!(status("/", &"a".repeat(MAX_BODY_BYTES + 1)).await, 413);
    }

    #[test]
    fn the_metrics_path_is_literal_and_must_not_be_that_of_another_page() {
        let pages = Pages::new("/{metrics}").unwrap();
        assert!(pages.router.at("/{metrics}").is_ok() && pages.router.at("/other").is_err());
        assert!(Pages::new("/healthz").is_none() && Pages::new("/readyz").is_none());
    }
}
