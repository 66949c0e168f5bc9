//! The retry policy: transient failures are retried up to three times, with exponential backoff and jitter.

use super::upstream::{NoAnswer, UpstreamRequest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::retry::Policy;

const MAX_RETRIES: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// The minimum time for an attempt. With less time left, the error of the last attempt is more useful than a time-out.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);
/// The maximum Retry-After to wait for: by then the clients have timed out.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// The retries of one request.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    retries: u32,
    deadline: Instant,
}

impl Retry {
    /// A policy without retries so far. The last attempt must start before `deadline`.
    pub(super) fn until(deadline: Instant) -> Self {
        Self { retries: 0, deadline }
    }

    /// The backoff doubles with each retry; half of it is random (jitter).
    fn backoff(&self) -> Duration {
        let longest = FIRST_BACKOFF * 2_u32.pow(self.retries);
        let mut random = [u8::MAX];
        // If the random number generator fails, the backoff has its maximum.
        let _ = SystemRandom::new().fill(&mut random);
        longest / 2 + longest / 2 * u32::from(random[0]) / u32::from(u8::MAX)
    }
}

impl Policy<UpstreamRequest, Response<Bytes>, NoAnswer> for Retry {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut UpstreamRequest,
        outcome: &mut Result<Response<Bytes>, NoAnswer>,
    ) -> Option<Self::Future> {
        let retry_after = match outcome {
            Err(_) => None,
            Ok(answer) if is_transient(answer.status()) => retry_after(answer),
            Ok(_) => return None,
        };
        if self.retries == MAX_RETRIES || retry_after.is_some_and(|wait| wait > MAX_WAIT) {
            return None;
        }
        let next = Instant::now() + self.backoff() + retry_after.unwrap_or_default();
        if next + MIN_ATTEMPT > self.deadline {
            return None;
        }
        self.retries += 1;
        Some(sleep_until(next))
    }

    fn clone_request(&mut self, request: &UpstreamRequest) -> Option<UpstreamRequest> {
        Some(request.clone())
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The Retry-After of an answer, which is a number of seconds or a date.
pub(super) fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let value = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok().map(Duration::from_secs);
    let until = || httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok();
    seconds.or_else(until)
}
