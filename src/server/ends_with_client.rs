//! Answers that end when the client leaves.
//!
//! hyper notices a client that has left a streamed answer only when it writes, and lets a client close its sending side. A stream that
//! rarely writes would keep its place for a long time.

use super::socket::Socket;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

/// An extension of a response whose body ends when the client closes the connection, or its sending side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndsWithClient;

pin_project! {
    /// A body that ends when the client closes the connection, or its sending side.
    pub(super) struct UntilClientLeaves<B> {
        #[pin]
        inner: B,
        left: Pin<Box<dyn Future<Output = ()> + Send>>,
    }
}

impl<B> UntilClientLeaves<B> {
    pub(super) fn new(inner: B, socket: Socket) -> Self {
        Self { inner, left: Box::pin(async move { socket.read_closed().await }) }
    }
}

impl<B: Body> Body for UntilClientLeaves<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.left.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        this.inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
