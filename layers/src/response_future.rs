//! The response future of the layers that admit or refuse requests.

use crate::record_latency::PathLabel;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The response future of the layers that admit or refuse requests. It completes with the inner service's answer or with a
    /// [`Rejection`].
    ///
    /// # Panics
    /// If it is polled after it has completed with a rejection.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = Projected]
    enum State<F> {
        Admitted { #[pin] inner: F },
        // In a box, because each layer moves the future, and most requests are admitted.
        Refused { refusal: Option<Box<Refusal>> },
    }
}

#[derive(Debug)]
struct Refusal {
    rejection: Rejection,
    head: RequestHead,
    label: Option<PathLabel>,
}

impl<F> ResponseFuture<F> {
    pub(crate) fn admitted(inner: F) -> Self {
        Self { state: State::Admitted { inner } }
    }

    pub(crate) fn refused(rejection: Rejection, head: RequestHead) -> Self {
        Self { state: State::Refused { refusal: Some(Box::new(Refusal { rejection, head, label: None })) } }
    }

    /// A refusal that metrics count under this directory.
    #[cfg(feature = "rate-limit")]
    pub(crate) fn refused_below(directory: &'static str, rejection: Rejection, head: RequestHead) -> Self {
        let label = Some(PathLabel::Below(directory));
        Self { state: State::Refused { refusal: Some(Box::new(Refusal { rejection, head, label })) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Bytes>,
{
    type Output = F::Output;

    #[expect(clippy::expect_used, reason = "a future that is polled after completion would never complete without it")]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Admitted { inner } => inner.poll(cx),
            Projected::Refused { refusal } => {
                let refusal = refusal.take().expect("`ResponseFuture` polled after completion");
                let Refusal { rejection, head, label } = *refusal;
                let mut response = rejection.into_response(&head);
                if let Some(label) = label {
                    response.extensions_mut().insert(label);
                }
                Poll::Ready(Ok(response))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::convert::Infallible;
    use std::future::Pending;
    use std::task::Waker;

    #[test]
    #[should_panic(expected = "`ResponseFuture` polled after completion")]
    fn a_refusal_that_is_polled_after_completion_panics() {
        type Inner = Pending<Result<Response<Bytes>, Infallible>>;
        let refused = ResponseFuture::<Inner>::refused(Rejection::NotFound, RequestHead::of(&Request::new(())));
        let (mut refused, mut cx) = (Box::pin(refused), Context::from_waker(Waker::noop()));
        assert!(refused.as_mut().poll(&mut cx).is_ready());
        let _ = refused.as_mut().poll(&mut cx);
    }
}
