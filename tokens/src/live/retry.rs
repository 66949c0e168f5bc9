//! The retry policy: transient failures are retried a few times, with exponential backoff and jitter.

use super::upstream::{NoAnswer, UpstreamRequest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use std::time::{Duration, SystemTime};
use tokio::time::{Instant, Sleep, sleep_until};
use tower::retry::Policy;

const RETRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// An attempt with less time than this is not made: the answer of the last one says more than a time-out.
const MIN_ATTEMPT: Duration = Duration::from_secs(1);
/// A longer Retry-After is not waited for: the clients have left by then.
const MAX_WAIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(super) struct Retry {
    retried: u32,
    end: Instant,
}

impl Retry {
    /// The retries of one request, until `end`.
    pub(super) fn until(end: Instant) -> Self {
        Self { retried: 0, end }
    }

    /// The backoff: doubled each time, half of it random.
    fn wait(&self) -> Duration {
        let longest = FIRST_WAIT * 2_u32.pow(self.retried);
        let mut random = [u8::MAX];
        // Without randomness the wait is the longest.
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
        let told = match outcome {
            Err(_) => None,
            Ok(answer) if is_transient(answer.status()) => retry_after(answer),
            Ok(_) => return None,
        };
        if self.retried == RETRIES || told.is_some_and(|told| told > MAX_WAIT) {
            return None;
        }
        let next = Instant::now() + self.wait() + told.unwrap_or_default();
        if next + MIN_ATTEMPT > self.end {
            return None;
        }
        self.retried += 1;
        Some(sleep_until(next))
    }

    fn clone_request(&mut self, request: &UpstreamRequest) -> Option<UpstreamRequest> {
        Some(request.clone())
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// In seconds, or as a date.
pub(super) fn retry_after(answer: &Response<Bytes>) -> Option<Duration> {
    let value = answer.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse().ok().map(Duration::from_secs);
    let until = || httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok();
    seconds.or_else(until)
}
