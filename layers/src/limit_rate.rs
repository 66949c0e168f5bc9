//! Rate limits: requests above them are answered 429.
//!
//! [`RateLimits`] decides which paths are limited, and how. All clients share one limit, because a VM is one client.
//!
//! ```
//! use bytes::Bytes;
//! use gce_metadata_layers::{LimitRateLayer, MetadataPath, RateLimit, RateLimits};
//! use http::{Request, Response};
//! use std::num::NonZeroU32;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! struct Everything(RateLimit);
//!
//! impl RateLimits for Everything {
//!     fn of(&self, _: &MetadataPath<'_>) -> Option<(&RateLimit, &'static str)> {
//!         Some((&self.0, "/"))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let limits = Everything(RateLimit::per_second(NonZeroU32::MIN));
//! let service = ServiceBuilder::new().layer(LimitRateLayer::new(limits)).service(service_fn(async |_: Request<()>| {
//!     Ok::<_, std::convert::Infallible>(Response::new(Bytes::from_static(b"value")))
//! }));
//! assert_eq!(service.clone().oneshot(Request::new(())).await.unwrap().status(), 200);
//! assert_eq!(service.oneshot(Request::new(())).await.unwrap().status(), 429);
//! # }
//! ```

use crate::path::MetadataPath;
use crate::rejection::Rejection;
use crate::request_head::RequestHead;
use crate::response_future::ResponseFuture;
use bytes::Bytes;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{Request, Response};
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// A rate limit by the generic cell rate algorithm: a token bucket that starts full and refills steadily.
///
/// Bursts are possible: with 10 requests a minute, up to 19 are admitted in the first minute of a burst (10 that were saved, 9
/// that are refilled meanwhile), and 10 in each later one.
pub struct RateLimit {
    limiters: Vec<Limiter>,
    /// Everything is admitted while it is false.
    switch: Option<Arc<AtomicBool>>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>;

impl RateLimit {
    /// At most this many a second, and at most this many at once.
    pub fn per_second(times: NonZeroU32) -> Self {
        Self { limiters: vec![limiter(Quota::per_second(times))], switch: None }
    }

    /// Adds a second limit: at most this many a minute, and at most this many at once.
    #[must_use]
    pub fn and_per_minute(mut self, times: NonZeroU32) -> Self {
        self.limiters.push(limiter(Quota::per_minute(times)));
        self
    }

    /// Enforces the limit only while the switch is true.
    #[must_use]
    pub fn switched_by(self, switch: Arc<AtomicBool>) -> Self {
        Self { switch: Some(switch), ..self }
    }

    /// Whether the limit admits a request now. If it does, the request is counted.
    pub fn admits(&self) -> bool {
        let is_off = self.switch.as_ref().is_some_and(|switch| !switch.load(Ordering::Relaxed));
        is_off || self.limiters.iter().all(|limiter| limiter.check().is_ok())
    }
}

fn limiter(quota: Quota) -> Limiter {
    RateLimiter::direct_with_clock(quota, TokioClock { start: Instant::now() })
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").finish_non_exhaustive()
    }
}

/// tokio's clock, which tests can pause.
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Decides which paths are limited, and how.
pub trait RateLimits {
    /// The limit of a path, and the directory that refusals are counted under in metrics; `None` if the path has no limit.
    ///
    /// It is a directory because the path may not exist: a client must not be able to create labels.
    fn of(&self, path: &MetadataPath<'_>) -> Option<(&RateLimit, &'static str)>;
}

/// Adds [`LimitRate`] to a service. All services made by one layer share its limits.
#[derive(Debug)]
pub struct LimitRateLayer<L> {
    limits: Arc<L>,
}

impl<L> LimitRateLayer<L> {
    /// A layer with these limits. Its clones share them.
    pub fn new(limits: L) -> Self {
        Self { limits: Arc::new(limits) }
    }
}

impl<L> Clone for LimitRateLayer<L> {
    fn clone(&self) -> Self {
        Self { limits: Arc::clone(&self.limits) }
    }
}

impl<S, L> Layer<S> for LimitRateLayer<L> {
    type Service = LimitRate<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        LimitRate { inner, limits: Arc::clone(&self.limits) }
    }
}

/// Answers 429 to a request that exceeds the limit of its path.
#[derive(Debug)]
pub struct LimitRate<S, L> {
    inner: S,
    limits: Arc<L>,
}

impl<L> LimitRate<(), L> {
    /// The layer that adds this service: [`LimitRateLayer::new`].
    pub fn layer(limits: L) -> LimitRateLayer<L> {
        LimitRateLayer::new(limits)
    }
}

impl<S, L> LimitRate<S, L> {
    inner_service_accessors!();
}

impl<S: Clone, L> Clone for LimitRate<S, L> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), limits: Arc::clone(&self.limits) }
    }
}

impl<S, L, ReqBody, ResBody> Service<Request<ReqBody>> for LimitRate<S, L>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    L: RateLimits,
    ResBody: From<Bytes>,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        match self.limits.of(&MetadataPath::new(request.uri().path())) {
            Some((limit, directory)) if !limit.admits() => {
                ResponseFuture::refused_below(directory, Rejection::TooManyRequests, RequestHead::from_request(request))
            }
            _ => ResponseFuture::admitted(self.inner.call(request)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_latency::PathLabel;
    use crate::test_support::{mock_exchange, mock_refusal};

    const DIRECTORY: &str = "/limited/";

    /// A limit of three requests a second and five a minute below one directory.
    struct Below(RateLimit);

    impl RateLimits for Below {
        fn of(&self, path: &MetadataPath<'_>) -> Option<(&RateLimit, &'static str)> {
            path.as_str().starts_with(DIRECTORY).then_some((&self.0, DIRECTORY))
        }
    }

    fn layer() -> LimitRateLayer<Below> {
        let times = |times| NonZeroU32::new(times).unwrap();
        LimitRateLayer::new(Below(RateLimit::per_second(times(3)).and_per_minute(times(5))))
    }

    fn request(path: &str) -> Request<()> {
        Request::get(path).body(()).unwrap()
    }

    async fn admits(layer: &LimitRateLayer<Below>, path: &str) {
        let answer = mock_exchange(layer.clone(), request(path), Response::new(Bytes::new())).await;
        assert_eq!(answer.status(), 200);
    }

    async fn refuses(layer: &LimitRateLayer<Below>) {
        let answer = mock_refusal::<_, Bytes>(layer.clone(), request("/limited/x")).await;
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.extensions().get(), Some(&PathLabel::Below(DIRECTORY)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_refills_with_time() {
        let layer = layer();
        for _ in 0..3 {
            admits(&layer, "//limited//x").await;
        }
        refuses(&layer).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 {
            admits(&layer, "/limited/x").await;
        }
        refuses(&layer).await;
        tokio::time::advance(Duration::from_secs(12)).await;
        admits(&layer, "/limited/x").await;
        refuses(&layer).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_admitted_and_then_the_steady_rate() {
        let times = |times| NonZeroU32::new(times).unwrap();
        let limit = RateLimit::per_second(times(3)).and_per_minute(times(10));
        let mut minutes = [0; 3];
        for minute in &mut minutes {
            for _ in 0..600 {
                *minute += u32::from(limit.admits());
                tokio::time::advance(Duration::from_millis(100)).await;
            }
        }
        assert_eq!(minutes, [19, 10, 10]);
    }

    #[tokio::test(start_paused = true)]
    async fn paths_without_a_limit_are_not_limited() {
        let layer = layer();
        for _ in 0..100 {
            admits(&layer, "/free").await;
        }
        admits(&layer, "/limited/x").await;
    }
}
