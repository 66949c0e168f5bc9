//! The growing delay between attempts to reach a token that was removed.

use std::time::{Duration, Instant};

const MIN_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// The delay until the next attempt. It doubles with each failure.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// The delay, and the time when it is over; `None` after a success.
    waiting: Option<(Duration, Instant)>,
}

impl Backoff {
    pub(super) fn allows_attempt(&self, now: Instant) -> bool {
        self.waiting.is_none_or(|(_, end)| now >= end)
    }

    pub(super) fn failed(&mut self, now: Instant) {
        let delay = self.waiting.map_or(MIN_DELAY, |(delay, _)| (delay * 2).min(MAX_DELAY));
        self.waiting = Some((delay, now + delay));
    }

    pub(super) fn succeeded(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_with_each_failure_up_to_half_a_minute() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        assert!(backoff.allows_attempt(now));
        let mut delays = Vec::new();
        for _ in 0..9 {
            backoff.failed(now);
            let (delay, end) = backoff.waiting.unwrap();
            assert!(!backoff.allows_attempt(end - Duration::from_millis(1)) && backoff.allows_attempt(end));
            delays.push(delay.as_millis());
            now = end;
        }
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        backoff.succeeded();
        assert!(backoff.allows_attempt(now));
    }
}
