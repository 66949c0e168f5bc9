//! Renders nodes: the only place where a node becomes bytes.
//!
//! Inside of this layer, the body of a response is the node that the path names; outside of it, bytes. So the query alone decides the
//! form of an answer, and a stack with the layer in the wrong place does not compile.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{Query, Rejection, RenderLayer, Represent, Representation, RequestHead, Resolved};
//! use http::{HeaderValue, Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! struct Zone(&'static str);
//!
//! impl Represent for Zone {
//!     fn represent(&self, _: &Query) -> Result<Representation, Rejection> {
//!         let body = Bytes::from_static(self.0.as_bytes());
//!         Ok(Representation::new(body, HeaderValue::from_static("application/text")))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(RenderLayer::<Bytes>::new())
//!     .service(service_fn(async |request: Request<()>| {
//!         let head = RequestHead::from_request(request);
//!         Ok::<_, std::convert::Infallible>(Response::new(Resolved::new(Zone("us-central1-a"), head)))
//!     }));
//! let answer = service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.body(), "us-central1-a");
//! # }
//! ```

use crate::etag::EntityTag;
use crate::query::Query;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use pin_project_lite::pin_project;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};
use tower_layer::Layer;
use tower_service::Service;

/// The time from 1970 to the year 9999, where the dates of HTTP end.
const LAST_HTTP_DATE: Duration = Duration::from_secs(253_370_764_800);

/// A node, or another value that a path names, which can be rendered in the form that a query asks for.
pub trait Represent {
    /// Renders the value for this query.
    ///
    /// # Errors
    /// The rejection to answer instead, such as [`Rejection::BadRequest`] for a form that the value does not have.
    fn represent(&self, query: &Query) -> Result<Representation, Rejection>;
}

impl<R: Represent> Represent for Result<R, Rejection> {
    fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
        self.as_ref().map_err(Clone::clone)?.represent(query)
    }
}

/// The node that a request names, and the head of that request. [`Render`] needs the head, and would have to copy it if the inner service
/// did not hand it back.
#[derive(Debug)]
pub struct Resolved<N> {
    node: N,
    head: RequestHead,
}

impl<N> Resolved<N> {
    /// This node for the request with this head.
    pub fn new(node: N, head: RequestHead) -> Self {
        Self { node, head }
    }
}

/// A rendered value: its bytes, their media type, the source of its entity tag, and how long caches may keep it.
#[derive(Debug, Clone)]
pub struct Representation {
    body: Bytes,
    content_type: HeaderValue,
    entity_tag: EntityTag,
    max_age: Option<Duration>,
}

impl Representation {
    /// A representation of these bytes with this media type. Its entity tag is a hash of the bytes.
    pub fn new(body: Bytes, content_type: HeaderValue) -> Self {
        Self { body, content_type, entity_tag: EntityTag::OfBody, max_age: None }
    }

    /// Sets the entity tag: one that was computed before, or that of another form of the value, so that all forms have the same one. See
    /// [`entity_tag`](crate::entity_tag).
    #[must_use]
    pub fn tagged(self, tag: HeaderValue) -> Self {
        Self { entity_tag: EntityTag::Known(tag), ..self }
    }

    /// Removes the entity tag, for a value that is computed for each request.
    #[must_use]
    pub fn untagged(self) -> Self {
        Self { entity_tag: EntityTag::Never, ..self }
    }

    /// Lets every cache keep the value for this long: `Cache-Control: public, max-age=…` and `Expires`. By default, neither header
    /// is sent.
    #[must_use]
    pub fn cacheable_for(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// The rendered bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The media type of the bytes.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }
}

/// Adds [`Render`] to a service whose response bodies are [`Resolved`]; `B` is the type of the rendered body.
#[derive(Debug)]
pub struct RenderLayer<B>(PhantomData<fn() -> B>);

impl<B> RenderLayer<B> {
    /// A layer without settings.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<B> Default for RenderLayer<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Clone for RenderLayer<B> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl<S, B> Layer<S> for RenderLayer<B> {
    type Service = Render<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        Render { inner, body: PhantomData }
    }
}

/// Turns `Response<Resolved<R: Represent>>` into `Response<B>`. A rejection from [`Represent::represent`] becomes its error page. The
/// response takes over the extensions of the request.
#[derive(Debug)]
pub struct Render<S, B> {
    inner: S,
    body: PhantomData<fn() -> B>,
}

impl<B> Render<(), B> {
    /// The layer that adds this service: [`RenderLayer::new`].
    pub fn layer() -> RenderLayer<B> {
        RenderLayer::new()
    }
}

impl<S, B> Render<S, B> {
    inner_service_accessors!();
}

impl<S: Clone, B> Clone for Render<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), body: PhantomData }
    }
}

impl<S, ReqBody, R, B> Service<Request<ReqBody>> for Render<S, B>
where
    S: Service<Request<ReqBody>, Response = Response<Resolved<R>>>,
    R: Represent,
    B: From<Bytes>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture { inner: self.inner.call(request), body: PhantomData }
    }
}

pin_project! {
    /// The future of [`Render`].
    #[derive(Debug)]
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        body: PhantomData<fn() -> B>,
    }
}

impl<F, R, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<Resolved<R>>, E>>,
    R: Represent,
    B: From<Bytes>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (mut parts, Resolved { node, head }) = ready!(self.project().inner.poll(cx))?.into_parts();
        let rendered = match node.represent(&Query::parse(head.query())) {
            Ok(rendered) => rendered,
            Err(rejection) => {
                let mut response = rejection.into_response(&head);
                let (_, extensions) = head.into_response_parts();
                *response.extensions_mut() = extensions;
                response.extensions_mut().extend(parts.extensions);
                return Poll::Ready(Ok(response));
            }
        };
        let (mut headers, mut extensions) = head.into_response_parts();
        if !parts.headers.is_empty() {
            headers.extend(parts.headers);
        }
        if !parts.extensions.is_empty() {
            extensions.extend(parts.extensions);
        }
        let Representation { body, content_type, entity_tag, max_age } = rendered;
        headers.insert(header::CONTENT_TYPE, content_type);
        if let Some(max_age) = max_age {
            headers.extend(cache_headers(max_age));
        }
        match entity_tag {
            EntityTag::Known(tag) if parts.status == StatusCode::OK => _ = headers.insert(header::ETAG, tag),
            // The layer outside of this one would have to read the bytes out of the body again.
            EntityTag::OfBody => _ = extensions.insert(EntityTag::Of(body.clone())),
            other => _ = extensions.insert(other),
        }
        (parts.headers, parts.extensions) = (headers, extensions);
        Poll::Ready(Ok(Response::from_parts(parts, B::from(body))))
    }
}

/// The headers of an answer that caches may keep for this long.
fn cache_headers(max_age: Duration) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let cache_control = HeaderValue::try_from(format!("public, max-age={}", max_age.as_secs())).ok();
    let expires = SystemTime::now().checked_add(max_age);
    // A date after the year 9999 has no form in HTTP.
    let expires = expires.filter(|time| *time < SystemTime::UNIX_EPOCH + LAST_HTTP_DATE).map(httpdate::fmt_http_date);
    let expires = expires.and_then(|date| HeaderValue::try_from(date).ok());
    [(header::CACHE_CONTROL, cache_control), (header::EXPIRES, expires)]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower_test::mock;

    /// A node that renders the query.
    struct Echo;

    impl Represent for Echo {
        fn represent(&self, query: &Query) -> Result<Representation, Rejection> {
            if query.wait_for_change {
                return Err(Rejection::BadRequest);
            }
            let body = Bytes::from(format!("recursive={}", query.recursive));
            Ok(Representation::new(body, HeaderValue::from_static("application/text")).untagged())
        }
    }

    async fn render(uri: &str) -> Response<Bytes> {
        let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Request<()>, Response<Resolved<Echo>>>| {
            RenderLayer::<Bytes>::new().layer(mock)
        });
        assert!(service.poll_ready().is_ready());
        let answer = service.call(Request::get(uri).body(()).unwrap());
        let served = async {
            let (request, respond) = handle.next_request().await.unwrap();
            let mut response = Response::new(Resolved::new(Echo, RequestHead::from_request(request)));
            response.extensions_mut().insert("left by the router");
            respond.send_response(response);
        };
        tokio::join!(answer, served).0.unwrap()
    }

    #[tokio::test]
    async fn the_node_is_rendered_for_the_query() {
        let answer = render("/x/?recursive=true").await;
        assert_eq!(answer.body(), "recursive=true");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/text");
        assert!(matches!(answer.extensions().get(), Some(EntityTag::Never)));
    }

    #[tokio::test]
    async fn a_response_takes_over_the_extensions_of_its_request_but_none_of_its_headers() {
        let request = Request::get("/x").header("authorization", "Bearer hidden").extension("of the request");
        let (mut service, mut handle) = mock::spawn_with(|mock: mock::Mock<Request<()>, Response<Resolved<Echo>>>| {
            RenderLayer::<Bytes>::new().layer(mock)
        });
        assert!(service.poll_ready().is_ready());
        let answer = service.call(request.body(()).unwrap());
        let served = async {
            let (request, respond) = handle.next_request().await.unwrap();
            let mut response = Response::new(Resolved::new(Echo, RequestHead::from_request(request)));
            response.headers_mut().insert("own", HeaderValue::from_static("header"));
            respond.send_response(response);
        };
        let answer = tokio::join!(answer, served).0.unwrap();
        assert_eq!(answer.extensions().get(), Some(&"of the request"));
        let names: Vec<_> = answer.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["own", "content-type"]);
    }

    #[test]
    fn a_cacheable_value_has_the_headers_of_caches() {
        let headers: Vec<_> = cache_headers(Duration::from_secs(60)).collect();
        assert_eq!(headers[0], (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")));
        let expires = httpdate::parse_http_date(headers[1].1.to_str().unwrap()).unwrap();
        let left = expires.duration_since(SystemTime::now()).unwrap();
        assert!((50..=60).contains(&left.as_secs()), "{left:?}");
        assert_eq!(cache_headers(Duration::MAX).count(), 1, "no date");
    }

    #[tokio::test]
    async fn a_rejection_becomes_its_error_page_and_keeps_the_extensions() {
        let answer = render("/x/?wait_for_change=true").await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
        assert!(answer.body().starts_with(b"<!DOCTYPE html>"));
        assert_eq!(answer.extensions().get(), Some(&"left by the router"));
    }
}
