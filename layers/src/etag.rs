//! Entity tags: hashes of values. Equal values have equal tags, also after a change and its reversal.
//!
//! GCE's entity tags are sixteen lower-case hex digits without quotes. Clients send them back in `last_etag`.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::EtagLayer;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(EtagLayer::new())
//!     .service(service_fn(async |_: Request<()>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::from_static(b"NONE"))))
//!     }));
//! let answer = service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(answer.headers()["etag"].len(), 16);
//! # }
//! ```

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::combinators::Collect;
use http_body_util::{BodyExt, Collected};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;
use twox_hash::XxHash3_64;

/// The source of a response's entity tag. A service that knows a better one than the body puts it into the extensions of its
/// response.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum EntityTag {
    /// The bytes of the body. The default, also for a response without an `EntityTag`.
    #[default]
    OfBody,
    /// These bytes: the value of which the body is one of several forms.
    Of(Bytes),
    /// This entity tag, which was computed before.
    Known(HeaderValue),
    /// The response gets no entity tag.
    Never,
}

/// The entity tag of these bytes: their XXH3-64 hash as sixteen lower-case hex digits.
///
/// ```
/// # use gce_metadata_layers::entity_tag;
/// assert_eq!(entity_tag(b"TRUE"), entity_tag(b"TRUE"));
/// assert_ne!(entity_tag(b"TRUE"), entity_tag(b"FALSE"));
/// ```
#[expect(clippy::expect_used, reason = "hex digits are a valid header value")]
pub fn entity_tag(value: &[u8]) -> HeaderValue {
    let hash = XxHash3_64::oneshot(value).to_be_bytes();
    let mut digits = [0; 16];
    for (byte, pair) in hash.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
    HeaderValue::from_bytes(&digits).expect("hex digits are a valid header value")
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Adds [`Etag`] to a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct EtagLayer(());

impl EtagLayer {
    /// A layer without settings.
    pub fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for EtagLayer {
    type Service = Etag<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Etag { inner }
    }
}

/// Sets `ETag` on each answer with status 200 that has no `ETag` yet and whose length is known. A body of unknown length is passed on
/// unchanged. A body that fails becomes an empty answer with status 500.
#[derive(Debug, Clone)]
pub struct Etag<S> {
    inner: S,
}

impl Etag<()> {
    /// The layer that adds this service: [`EtagLayer::new`].
    pub fn layer() -> EtagLayer {
        EtagLayer::new()
    }
}

impl<S> Etag<S> {
    inner_service_accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for Etag<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body + From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture { state: State::Calling { inner: self.inner.call(request) } }
    }
}

pin_project! {
    /// The future of [`Etag`].
    pub struct ResponseFuture<F, B>
    where
        B: Body,
    {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, B>
    where
        B: Body,
    {
        Calling { #[pin] inner: F },
        // In a box, because each layer moves the future, and most bodies are not read.
        Reading { reading: Pin<Box<Reading<B>>> },
    }
}

pin_project! {
    /// A response whose body is read.
    struct Reading<B>
    where
        B: Body,
    {
        parts: Option<http::response::Parts>,
        #[pin]
        body: Collect<B>,
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body + From<Bytes>,
{
    type Output = F::Output;

    #[expect(clippy::expect_used, reason = "a broken state must not look like a body that failed")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                Projected::Calling { inner } => {
                    let mut outcome = inner.poll(cx);
                    // Changed in place, because a response is large.
                    let Poll::Ready(Ok(response)) = &mut outcome else { return outcome };
                    if response.status() != StatusCode::OK || response.headers().contains_key(header::ETAG) {
                        return outcome;
                    }
                    let tag = match response.extensions().get().unwrap_or(&EntityTag::OfBody) {
                        EntityTag::Never => return outcome,
                        EntityTag::Known(tag) => tag.clone(),
                        EntityTag::Of(value) => entity_tag(value),
                        EntityTag::OfBody if response.body().size_hint().exact().is_none() => return outcome,
                        EntityTag::OfBody => {
                            let (parts, body) = ready!(outcome)?.into_parts();
                            let reading = Box::pin(Reading { parts: Some(parts), body: body.collect() });
                            state.set(State::Reading { reading });
                            continue;
                        }
                    };
                    response.headers_mut().insert(header::ETAG, tag);
                    return outcome;
                }
                Projected::Reading { reading } => {
                    let reading = reading.as_mut().project();
                    let read = ready!(reading.body.poll(cx)).map(Collected::to_bytes);
                    let mut parts = reading.parts.take().expect("`ResponseFuture` polled after completion");
                    return Poll::Ready(Ok(match read {
                        Ok(bytes) => {
                            parts.headers.insert(header::ETAG, entity_tag(&bytes));
                            Response::from_parts(parts, B::from(bytes))
                        }
                        Err(_) => {
                            let mut failed = Response::new(B::from(Bytes::new()));
                            *failed.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                            failed
                        }
                    }));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::mock_exchange;
    use http_body_util::Full;

    async fn tag(inner: Response<Full<Bytes>>) -> Option<HeaderValue> {
        let answer = mock_exchange(EtagLayer::new(), Request::new(()), inner).await;
        answer.headers().get(header::ETAG).cloned()
    }

    fn full(body: &'static str) -> Response<Full<Bytes>> {
        Response::new(Full::from(body))
    }

    fn with(entity_tag: EntityTag, body: &'static str) -> Response<Full<Bytes>> {
        let mut response = full(body);
        response.extensions_mut().insert(entity_tag);
        response
    }

    #[test]
    fn an_entity_tag_is_xxh3_64_in_sixteen_hex_digits() {
        // XXH3-64 of the empty input, from the algorithm's documentation.
        assert_eq!(entity_tag(b""), "2d06800538d394c2");
        assert_eq!(entity_tag(b"NONE").len(), 16);
    }

    #[tokio::test]
    async fn the_body_is_hashed_and_passed_on() {
        let answer = mock_exchange(EtagLayer::new(), Request::new(()), full("NONE")).await;
        assert_eq!(answer.headers()[header::ETAG], entity_tag(b"NONE"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "NONE");
    }

    #[tokio::test]
    async fn an_entity_tag_in_the_extensions_takes_precedence_over_the_body() {
        assert_eq!(tag(with(EntityTag::Of("\"NONE\"".into()), "NONE")).await, Some(entity_tag(b"\"NONE\"")));
        assert_eq!(tag(with(EntityTag::OfBody, "NONE")).await, Some(entity_tag(b"NONE")));
        let known = HeaderValue::from_static("computed before");
        assert_eq!(tag(with(EntityTag::Known(known.clone()), "NONE")).await, Some(known));
        assert_eq!(tag(with(EntityTag::Never, "NONE")).await, None);
    }

    #[tokio::test]
    async fn refusals_and_answers_with_an_etag_are_passed_on() {
        let mut refused = full("page");
        *refused.status_mut() = StatusCode::NOT_FOUND;
        assert_eq!(tag(refused).await, None);
        let mut tagged = full("value");
        tagged.headers_mut().insert(header::ETAG, HeaderValue::from_static("mine"));
        assert_eq!(tag(tagged).await, Some(HeaderValue::from_static("mine")));
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_passed_on() {
        struct Endless;
        impl Body for Endless {
            type Data = Bytes;
            type Error = std::convert::Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
                panic!("a body without a length must not be read");
            }
        }
        impl From<Bytes> for Endless {
            fn from(_: Bytes) -> Self {
                Self
            }
        }
        let answer = mock_exchange(EtagLayer::new(), Request::new(()), Response::new(Endless)).await;
        assert!(!answer.headers().contains_key(header::ETAG));
    }
}
