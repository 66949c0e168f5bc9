//! The response future of the layers that pass most requests on unchanged.

use http::Response;
use pin_project_lite::pin_project;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<B>, E>> + Send>>;

pin_project! {
    /// The response future of the layers that pass most requests on unchanged. Only the other requests allocate.
    pub struct DirectOrBoxed<F, B, E> {
        #[pin]
        state: State<F, B, E>,
    }
}

pin_project! {
    #[project = Projected]
    enum State<F, B, E> {
        Direct { #[pin] inner: F },
        Boxed { answer: Boxed<B, E> },
    }
}

impl<F, B, E> DirectOrBoxed<F, B, E> {
    pub(crate) fn direct(inner: F) -> Self {
        Self { state: State::Direct { inner } }
    }

    pub(crate) fn boxed(answer: impl Future<Output = Result<Response<B>, E>> + Send + 'static) -> Self {
        Self { state: State::Boxed { answer: Box::pin(answer) } }
    }
}

impl<F, B, E> Future for DirectOrBoxed<F, B, E>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            Projected::Direct { inner } => inner.poll(cx),
            Projected::Boxed { answer } => answer.as_mut().poll(cx),
        }
    }
}

impl<F, B, E> fmt::Debug for DirectOrBoxed<F, B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectOrBoxed").finish_non_exhaustive()
    }
}
