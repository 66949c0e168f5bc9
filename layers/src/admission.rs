//! The future of every layer that lets a request through or answers it itself.

use crate::record_latency::MatchedPath;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use bytes::Bytes;
use http::Response;
use pin_project_lite::pin_project;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project! {
    /// The inner service's answer, or a refusal.
    #[derive(Debug)]
    pub struct Admission<F> {
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
    counted_as: Option<MatchedPath>,
}

impl<F> Admission<F> {
    pub(crate) fn admitted(inner: F) -> Self {
        Self { state: State::Admitted { inner } }
    }

    pub(crate) fn refused(rejection: Rejection, head: RequestHead) -> Self {
        Self { state: State::Refused { refusal: Some(Refusal { rejection, head, counted_as: None }) } }
    }

    /// A refusal that is counted as one of this directory's.
    #[cfg(feature = "rate-limit")]
    pub(crate) fn refused_below(directory: &'static str, rejection: Rejection, head: RequestHead) -> Self {
        let counted_as = Some(MatchedPath::Below(directory));
        Self { state: State::Refused { refusal: Some(Refusal { rejection, head, counted_as }) } }
    }
}

impl<F, B, E> Future for Admission<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: From<Bytes>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Admitted { inner } => inner.poll(cx),
            Projected::Refused { refusal } => match refusal.take() {
                Some(Refusal { rejection, head, counted_as }) => {
                    let mut response = rejection.into_response(&head);
                    if let Some(counted_as) = counted_as {
                        response.extensions_mut().insert(counted_as);
                    }
                    Poll::Ready(Ok(response))
                }
                None => Poll::Pending,
            },
        }
    }
}
