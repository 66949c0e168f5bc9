//! The service of the admin listener: the layers around the table of routes.

use super::call::{Answer, Outcome};
use super::guard::{GuardLayer, RequireAdminHost, RequireContentType, RequireOwnOrigin, RequireToken, RequireUser};
use super::problem::{PROBLEM, Problem};
use super::router::Router;
use super::{Admin, Security, page};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tower::{BoxError, Service, ServiceBuilder, service_fn};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

/// A limit on the time in which a request is received.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A limit on the body of a request. A config file may be as large.
const MAX_BODY_BYTES: usize = 4 << 20;

const NO_SNIFF: (HeaderName, HeaderValue) = (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
const NO_STORE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// The service of the listener.
pub(crate) fn service<B>(
    admin: Admin,
    security: Security,
) -> impl Service<Request<B>, Response = Answer, Error = Infallible, Future: Send> + Clone + Send + 'static
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let (router, admin) = (Router::new(), Arc::new(admin));
    let is_unix = security.is_unix;
    ServiceBuilder::new()
        // Errors of tower-http's layers become problem documents. No browser guesses the type of an answer or keeps it.
        .map_response(finished)
        // Any other layer may panic: the client gets 500, and the connection stays open.
        .layer(CatchPanicLayer::new())
        // Before anything is read: DNS rebinding.
        .layer(GuardLayer::new(RequireAdminHost::new(security.hosts)))
        // A page of another site.
        .layer(GuardLayer::new(RequireOwnOrigin))
        // Another user of this machine.
        .option_layer(is_unix.then(|| GuardLayer::new(RequireUser::own())))
        .layer(GuardLayer::new(RequireToken::new(security.token)))
        // After the token, which says more about the client.
        .layer(GuardLayer::new(RequireContentType))
        .map_response(boxed)
        .layer(RequestBodyLimitLayer::new(MAX_BODY_BYTES))
        .service(service_fn(move |request: Request<_>| {
            let (router, admin) = (router.clone(), Arc::clone(&admin));
            async move { Ok(answer(&router, admin, request).await.unwrap_or_else(Problem::into_answer)) }
        }))
}

async fn answer<B>(router: &Router, admin: Arc<Admin>, request: Request<B>) -> Outcome
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send,
{
    let (head, body) = request.into_parts();
    if let Some(file) = page::answer(&head.method, head.uri.path(), &head.headers) {
        return Ok(file);
    }
    let body = within(BODY_TIMEOUT, body.collect()).await?.map_err(|error| unread(error.into()))?.to_bytes();
    // A resource that hangs must not block one of the listener's few connections.
    within(Router::time_limit(head.uri.path()), router.answer(admin, head, body)).await?
}

/// Limits the time of a step.
async fn within<F: Future>(limit: Duration, step: F) -> Result<F::Output, Problem> {
    let late = |_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {} s", limit.as_secs()));
    timeout(limit, step).await.map_err(late)
}

/// The answer to a body that could not be read.
fn unread(error: BoxError) -> Problem {
    if error.is::<LengthLimitError>() {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {MAX_BODY_BYTES} bytes"))
    } else {
        Problem::bad_request(format!("the body could not be read: {error}"))
    }
}

fn boxed(answer: Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>) -> Answer {
    answer.map(|body| body.map_err(Into::into).boxed_unsync())
}

/// Adds the headers of all answers.
fn finished(answer: Response<impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static>) -> Answer {
    let mut answer = as_problem(boxed(answer));
    let (name, no_sniff) = NO_SNIFF;
    answer.headers_mut().insert(name, no_sniff);
    let (name, no_store) = NO_STORE;
    // The files of the page may be kept.
    answer.headers_mut().entry(name).or_insert(no_store);
    answer
}

/// Replaces an error that is not a problem document.
fn as_problem(answer: Answer) -> Answer {
    let status = answer.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || answer.headers().get(header::CONTENT_TYPE) == Some(&PROBLEM) {
        return answer;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => format!("the body has more than {MAX_BODY_BYTES} bytes"),
        _ => "an error in the server; the log has its cause".to_owned(),
    };
    Problem::new(status, detail).into_answer()
}
