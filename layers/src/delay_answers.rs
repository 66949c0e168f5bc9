//! Delays answers, as a slow network or a busy server does.
//!
//! The inner service is called at once, and its answer waits. So a long poll notices a change during the delay.
//!
//! ```
//! use gce_metadata_layers::DelayAnswersLayer;
//! use http::{Request, Response};
//! use std::time::Duration;
//! use tokio::time::Instant;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
//! let service = ServiceBuilder::new()
//!     .layer(DelayAnswersLayer::new(|| Duration::from_millis(500)))
//!     .service(service_fn(async |_: Request<()>| Ok::<_, std::convert::Infallible>(Response::new(()))));
//! let start = Instant::now();
//! service.oneshot(Request::new(())).await.unwrap();
//! assert_eq!(start.elapsed(), Duration::from_millis(500));
//! # }
//! ```

use crate::direct_or_boxed::DirectOrBoxed;
use http::{Request, Response};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower_layer::Layer;
use tower_service::Service;

/// The delays of answers. A closure is one too.
pub trait Delays {
    /// The delay of the next answer.
    fn next(&self) -> Duration;
}

impl<F: Fn() -> Duration> Delays for F {
    fn next(&self) -> Duration {
        self()
    }
}

/// Adds [`DelayAnswers`] to a service.
#[derive(Debug)]
pub struct DelayAnswersLayer<D> {
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D> {
    delays: D,
    stop: CancellationToken,
}

impl<D> DelayAnswersLayer<D> {
    /// A layer with these delays.
    pub fn new(delays: D) -> Self {
        Self::until(delays, CancellationToken::new())
    }

    /// A layer whose delays end when `stop` is cancelled, so that they do not delay the end of the server.
    pub fn until(delays: D, stop: CancellationToken) -> Self {
        Self { shared: Arc::new(Shared { delays, stop }) }
    }
}

impl<D> Clone for DelayAnswersLayer<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S, D> Layer<S> for DelayAnswersLayer<D> {
    type Service = DelayAnswers<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        DelayAnswers { inner, shared: Arc::clone(&self.shared) }
    }
}

/// Delays the answers of the inner service.
#[derive(Debug)]
pub struct DelayAnswers<S, D> {
    inner: S,
    shared: Arc<Shared<D>>,
}

impl<D> DelayAnswers<(), D> {
    /// The layer that adds this service: [`DelayAnswersLayer::new`].
    pub fn layer(delays: D) -> DelayAnswersLayer<D> {
        DelayAnswersLayer::new(delays)
    }
}

impl<S, D> DelayAnswers<S, D> {
    inner_service_accessors!();
}

impl<S: Clone, D> Clone for DelayAnswers<S, D> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S, D, ReqBody, ResBody> Service<Request<ReqBody>> for DelayAnswers<S, D>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Send, Future: Send + 'static>,
    D: Delays,
    ResBody: Send + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = DirectOrBoxed<S::Future, ResBody, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let delay = self.shared.delays.next();
        let answer = self.inner.call(request);
        if delay.is_zero() {
            return DirectOrBoxed::direct(answer);
        }
        let stop = self.shared.stop.clone();
        DirectOrBoxed::boxed(async move {
            let answer = answer.await?;
            stop.run_until_cancelled(sleep(delay)).await;
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::mock_exchange;
    use std::sync::atomic::{AtomicU64, Ordering};
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn each_answer_has_the_delay_of_its_time() {
        let seconds = Arc::new(AtomicU64::new(0));
        let next = Arc::clone(&seconds);
        let layer = DelayAnswersLayer::new(move || Duration::from_secs(next.load(Ordering::Relaxed)));
        for expected in [0, 2, 60, 0] {
            seconds.store(expected, Ordering::Relaxed);
            let start = Instant::now();
            let answer = mock_exchange(layer.clone(), Request::new(()), Response::new("value")).await;
            assert_eq!((answer.into_body(), start.elapsed()), ("value", Duration::from_secs(expected)));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_delays() {
        let stop = CancellationToken::new();
        let layer = DelayAnswersLayer::until(|| Duration::from_secs(3600), stop.clone());
        let start = Instant::now();
        let stopping = async {
            sleep(Duration::from_secs(1)).await;
            stop.cancel();
        };
        let (answer, ()) = tokio::join!(mock_exchange(layer, Request::new(()), Response::new("value")), stopping);
        assert_eq!((answer.into_body(), start.elapsed()), ("value", Duration::from_secs(1)));
    }
}
