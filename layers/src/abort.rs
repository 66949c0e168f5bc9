//! Aborts connections: a client sees its connection reset or closed instead of an answer.
//!
//! A layer marks its response with [`AbortConnection`] or [`CloseConnection`]. The server of gce-metadata-server then resets the
//! connection, or closes it without a byte. Other servers ignore the marks. For them, [`FailAbortedLayer`] outside of that layer
//! replaces the body of a marked response by one that fails, and the server closes the connection. This has no effect on an answer to
//! `HEAD`, whose body no server reads. The layer also applies a [`BodyFault`].
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{AbortConnection, ConnectionError, FailAbortedLayer};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(FailAbortedLayer::new())
//!     .map_response(|mut response: Response<Full<Bytes>>| {
//!         response.extensions_mut().insert(AbortConnection);
//!         response
//!     })
//!     .service(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(Full::default()))));
//! let answer = service.oneshot(Request::new(())).await.unwrap();
//! assert!(matches!(answer.into_body().collect().await, Err(ConnectionError::Abort)));
//! # }
//! ```

#[cfg(doc)]
use crate::body_fault::BodyFault;
use crate::body_fault::{FaultableBody, apply_body_fault};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower_layer::Layer;
use tower_service::Service;

/// Makes the server abort the connection instead of sending the response that has this value in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortConnection;

/// Makes the server close the connection without a byte (FIN) instead of sending the response that has this value in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseConnection;

/// Why a connection ends before the end of a response's body. A body that fails with [`Abort`](Self::Abort) aborts the connection
/// after the frames that it has sent; [`Close`](Self::Close) closes it.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The connection is aborted on purpose.
    Abort,
    /// The connection is closed on purpose.
    Close,
    /// The body failed.
    Body(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abort => f.write_str("the connection is aborted on purpose"),
            Self::Close => f.write_str("the connection is closed on purpose"),
            Self::Body(error) => error.fmt(f),
        }
    }
}

impl Error for ConnectionError {}

/// Adds [`FailAborted`] to a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailAbortedLayer(());

impl FailAbortedLayer {
    /// A layer without settings.
    pub fn new() -> Self {
        Self(())
    }
}

impl<S> Layer<S> for FailAbortedLayer {
    type Service = FailAborted<S>;

    fn layer(&self, inner: S) -> Self::Service {
        FailAborted { inner }
    }
}

/// Replaces the body of each response with an [`AbortConnection`] or a [`CloseConnection`] by one that fails, and applies a
/// [`BodyFault`] to its body. The marks stay in the extensions.
#[derive(Debug, Clone)]
pub struct FailAborted<S> {
    inner: S,
}

impl FailAborted<()> {
    /// The layer that adds this service: [`FailAbortedLayer::new`].
    pub fn layer() -> FailAbortedLayer {
        FailAbortedLayer::new()
    }
}

impl<S> FailAborted<S> {
    inner_service_accessors!();
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for FailAborted<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
{
    type Response = Response<AbortableBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        ResponseFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// The future of [`FailAborted`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<AbortableBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let response = ready!(self.project().inner.poll(cx))?;
        let extensions = response.extensions();
        let end = if extensions.get::<AbortConnection>().is_some() {
            Some(ConnectionError::Abort)
        } else {
            extensions.get::<CloseConnection>().map(|_| ConnectionError::Close)
        };
        Poll::Ready(Ok(apply_body_fault(response).map(|body| AbortableBody { body, end })))
    }
}

pin_project! {
    /// The body of a response of [`FailAborted`].
    #[derive(Debug)]
    pub struct AbortableBody<B> {
        #[pin]
        body: FaultableBody<B>,
        // The error of a response with a mark.
        end: Option<ConnectionError>,
    }
}

impl<B> Body for AbortableBody<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>>,
{
    type Data = Bytes;
    type Error = ConnectionError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ConnectionError>>> {
        let this = self.project();
        match this.end.take() {
            Some(error) => Poll::Ready(Some(Err(error))),
            None => this.body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.end.is_some() { SizeHint::default() } else { self.body.size_hint() }
    }
}

/// Keeps an error that already is a `ConnectionError`: a body may abort its connection itself.
pub(crate) fn into_connection_error(error: Box<dyn Error + Send + Sync>) -> ConnectionError {
    error.downcast().map_or_else(ConnectionError::Body, |error| *error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BodyFault;
    use http_body_util::{BodyExt, Full};
    use std::io;

    /// The answer's body behind the layer.
    async fn behind_layer<B: 'static>(inner: Response<B>) -> AbortableBody<B> {
        let (mut service, mut handle) = tower_test::mock::spawn_with(|mock: tower_test::mock::Mock<Request<()>, _>| {
            FailAbortedLayer::new().layer(mock)
        });
        assert!(service.poll_ready().is_ready());
        let answer = service.call(Request::new(()));
        handle.next_request().await.unwrap().1.send_response(inner);
        answer.await.unwrap().into_body()
    }

    #[tokio::test]
    async fn a_response_without_the_mark_keeps_its_body() {
        let body = behind_layer(Response::new(Full::<Bytes>::from("value"))).await;
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "value");
        assert!(behind_layer(Response::new(Full::<Bytes>::default())).await.is_end_stream());
    }

    #[tokio::test]
    async fn a_marked_response_has_a_body_that_fails() {
        let mut marked = Response::new(Full::<Bytes>::default());
        marked.extensions_mut().insert(AbortConnection);
        let body = behind_layer(marked).await;
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
        let error: Box<dyn Error> = body.collect().await.unwrap_err().into();
        assert!(matches!(error.downcast_ref(), Some(ConnectionError::Abort)));
    }

    #[tokio::test]
    async fn a_response_to_be_closed_has_a_body_that_fails() {
        let mut marked = Response::new(Full::<Bytes>::from("value"));
        marked.extensions_mut().insert(CloseConnection);
        let error = behind_layer(marked).await.collect().await.unwrap_err();
        assert!(matches!(error, ConnectionError::Close));
    }

    #[tokio::test]
    async fn a_body_fault_is_applied() {
        let mut marked = Response::new(Full::<Bytes>::from("value"));
        marked.extensions_mut().insert(BodyFault::new().corrupt());
        assert_eq!(behind_layer(marked).await.collect().await.unwrap().to_bytes(), "valu{");
    }

    /// A body that fails at once.
    struct Failing(Option<Box<dyn Error + Send + Sync>>);

    impl Body for Failing {
        type Data = Bytes;
        type Error = Box<dyn Error + Send + Sync>;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.take().map(Err))
        }
    }

    #[tokio::test]
    async fn the_error_of_a_body_is_kept() {
        let error = async |error| behind_layer(Response::new(Failing(Some(error)))).await.collect().await.unwrap_err();
        let failed = error(io::Error::other("disk").into()).await;
        assert!(matches!(&failed, ConnectionError::Body(_)) && failed.to_string() == "disk", "{failed:?}");
        assert!(matches!(error(ConnectionError::Abort.into()).await, ConnectionError::Abort));
    }
}
