//! How long ago something was. Tokens end by the time of day; the clock that nobody can set stands still while a machine
//! sleeps. Of the two, whichever says more is believed, so that neither sleep nor a clock set back prolongs a token's life.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Tells the time of day. Tests have one that they move.
#[derive(Clone)]
pub(crate) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    #[cfg(test)]
    pub(crate) fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(SystemTime::now))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// A moment that has passed, by both clocks.
#[derive(Debug, Clone)]
pub(crate) struct Since {
    instant: Instant,
    time: SystemTime,
    clock: Clock,
}

impl Since {
    pub(crate) fn now(clock: &Clock) -> Self {
        Self { instant: Instant::now(), time: (clock.0)(), clock: clock.clone() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        let by_day = (self.clock.0)().duration_since(self.time).unwrap_or_default();
        self.instant.elapsed().max(by_day)
    }
}

/// A time of day that stands still but when it is moved, by so many seconds, and a clock that tells it.
#[cfg(test)]
pub(crate) fn moved() -> (Clock, impl Fn(i64)) {
    let (start, offset) = (SystemTime::now(), Arc::new(std::sync::atomic::AtomicI64::new(0)));
    let moved = Arc::clone(&offset);
    let clock = Clock::new(move || {
        let seconds = offset.load(std::sync::atomic::Ordering::Relaxed);
        let by = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { start - by } else { start + by }
    });
    (clock, move |seconds| _ = moved.fetch_add(seconds, std::sync::atomic::Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn whichever_clock_says_more_is_believed() {
        let (clock, move_by) = moved();
        let since = Since::now(&clock);
        advance(Duration::from_secs(10)).await;
        assert_eq!(since.elapsed().as_secs(), 10);
        // The machine has slept.
        move_by(3600);
        assert_eq!(since.elapsed().as_secs(), 3600);
        // Somebody sets the clock back.
        move_by(-7200);
        assert_eq!(since.elapsed().as_secs(), 10);
    }
}
