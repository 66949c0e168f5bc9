//! The request body of the server's stack.

use bytes::Bytes;
use gce_metadata_layers::{CaptureBody, CapturedBody};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of a request to a [`Server`](crate::Server). The default is empty: a long poll that is repeated has no body.
#[derive(Debug, Default)]
pub struct IncomingBody(CaptureBody<MaybeIncoming>);

impl IncomingBody {
    /// Captures the body for the journal of requests.
    pub(crate) fn capture(&mut self) -> Option<CapturedBody> {
        self.0.capture()
    }
}

impl From<Incoming> for IncomingBody {
    fn from(body: Incoming) -> Self {
        Self(CaptureBody::new(MaybeIncoming(Some(body))))
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.get_mut().0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body from the connection, or an empty one.
#[derive(Debug, Default)]
struct MaybeIncoming(Option<Incoming>);

impl Body for MaybeIncoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().0 {
            None => Poll::Ready(None),
            Some(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
