//! The future of the layers that pass a request on or refuse it.

use crate::record_latency::PathLabel;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// Completes with the inner service's answer, or with a refusal.
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
        Refused { refusal: Option<Refusal> },
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
        Self { state: State::Refused { refusal: Some(Refusal { rejection, head, label: None }) } }
    }

    /// A refusal whose metrics label is this directory.
    pub(crate) fn refused_below(directory: &'static str, rejection: Rejection, head: RequestHead) -> Self {
        let label = Some(PathLabel::Below(directory));
        Self { state: State::Refused { refusal: Some(Refusal { rejection, head, label }) } }
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Admitted { inner } => inner.poll(cx),
            Projected::Refused { refusal } => match refusal.take() {
                Some(Refusal { rejection, head, label }) => {
                    let mut response = rejection.into_response(&head);
                    if let Some(label) = label {
                        response.extensions_mut().insert(label);
                    }
                    Poll::Ready(Ok(response))
                }
                None => Poll::Pending,
            },
        }
    }
}
