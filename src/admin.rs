//! The second listener, for those who watch the server: `/metrics`, `/healthz`, `/readyz`.

use crate::guest_attributes::Keeper;
use crate::metrics::{Metrics, State, has_account};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use std::borrow::Cow;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::CancellationToken;
use tower::Service;

/// Answers whoever watches.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    pub(crate) metrics: Metrics,
    pub(crate) metrics_path: Arc<str>,
    pub(crate) state: State,
    pub(crate) guest_attributes: Option<Arc<Keeper>>,
    pub(crate) stop: CancellationToken,
}

impl Admin {
    fn answer(&self, method: &Method, path: &str) -> (StatusCode, &'static str, String) {
        const PLAIN: &str = "text/plain; charset=utf-8";
        if method != Method::GET && method != Method::HEAD {
            return (StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET or HEAD, please\n".to_owned());
        }
        match path {
            "/healthz" => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
            "/readyz" => {
                let failing: String = self.failing().map(|reason| format!("{reason}\n")).collect();
                match &*failing {
                    "" => (StatusCode::OK, PLAIN, "ok\n".to_owned()),
                    _ => (StatusCode::SERVICE_UNAVAILABLE, PLAIN, failing),
                }
            }
            path if path == &*self.metrics_path => {
                (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render(&self.state))
            }
            _ => (StatusCode::NOT_FOUND, PLAIN, format!("{}, /healthz and /readyz are here\n", self.metrics_path)),
        }
    }

    /// Why the server should not be sent requests now.
    fn failing(&self) -> impl Iterator<Item = Cow<'static, str>> {
        let snapshot = self.state.reader.snapshot();
        let is_source_ready = self.state.info.health().is_ready(|account| has_account(snapshot.tree(), account));
        let unsaved = self.guest_attributes.as_ref().and_then(|keeper| keeper.problem());
        [
            (self.stop.is_cancelled(), "the server is stopping"),
            (!self.state.reloads.last_was_good(), "the config file has a mistake, an older state of it is served"),
            (!is_source_ready, "the token source failed when it was last asked"),
        ]
        .into_iter()
        .filter_map(|(fails, reason)| fails.then_some(reason.into()))
        .chain(unsaved.map(|problem| format!("guest attributes can't be saved: {problem}").into()))
    }
}

impl<B> Service<Request<B>> for Admin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (status, content_type, body) = self.answer(request.method(), request.uri().path());
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        ready(Ok(response))
    }
}
