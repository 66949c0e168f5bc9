//! Refuses what is asked for too often, with 429.
//!
//! Which paths are limited, and how, is up to [`RateLimits`]. One limit is for all clients together: a VM is one client.
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
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// How often something may happen: so many times at once, and once more whenever its share of the time has passed.
///
/// That is a bucket, not a count by the clock. After a pause it is full, and while it is emptied it fills: of 10 a minute up
/// to 19 come in the first minute of a rush, and 10 in each that follows.
pub struct RateLimit(Vec<Limiter>);

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Duration>>;

impl RateLimit {
    /// So many times a second, or at once.
    pub fn per_second(times: NonZeroU32) -> Self {
        Self(vec![limiter(Quota::per_second(times))])
    }

    /// And not more than so many times a minute, or at once.
    #[must_use]
    pub fn and_per_minute(mut self, times: NonZeroU32) -> Self {
        self.0.push(limiter(Quota::per_minute(times)));
        self
    }

    /// Whether it may happen now. If so, it has.
    pub fn admits(&self) -> bool {
        self.0.iter().all(|limiter| limiter.check().is_ok())
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

/// tokio's time, which a test can stop.
struct TokioClock {
    start: Instant,
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Which paths are limited, and how.
pub trait RateLimits {
    /// The limit of this path, and the directory that a refusal is counted as: nobody has looked whether the path exists.
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

/// Answers 429 to a request whose path has had its share.
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
                ResponseFuture::refused_below(directory, Rejection::TooManyRequests, RequestHead::of(&request))
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

    /// Three a second and five a minute below one directory.
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
    async fn time_gives_back_what_was_used() {
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
    async fn a_rush_has_what_is_there_and_then_its_share() {
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
    async fn the_rest_is_free() {
        let layer = layer();
        for _ in 0..100 {
            admits(&layer, "/free").await;
        }
        admits(&layer, "/limited/x").await;
    }
}
