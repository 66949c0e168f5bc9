//! Elapsed time by two clocks. Tokens expire by the system time, which can be set back; the monotonic clock stops while
//! a machine sleeps. The larger of the two elapsed times counts, so that neither clock prolongs the life of a token.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A source of both times. Tests replace the system time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// A clock that reads the system time from this function.
    pub fn new(clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(clock))
    }

    /// Reads both clocks.
    pub fn now(&self) -> Moment {
        Moment { instant: Instant::now(), time: (self.0)() }
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

/// A reading of both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time of the monotonic clock.
    pub instant: Instant,
    time: SystemTime,
}

impl Moment {
    /// The time elapsed since an earlier moment: the larger one of the two clocks.
    pub fn since(self, earlier: Self) -> Duration {
        let by_system_time = self.time.duration_since(earlier.time).unwrap_or_default();
        self.instant.saturating_duration_since(earlier.instant).max(by_system_time)
    }
}

/// A clock for tests. Its system time changes only by calls of the returned function, which moves it by a number of
/// seconds.
pub fn movable() -> (Clock, impl Fn(i64)) {
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
    async fn the_larger_elapsed_time_of_both_clocks_counts() {
        let (clock, move_by) = movable();
        let then = clock.now();
        advance(Duration::from_secs(10)).await;
        assert_eq!(clock.now().since(then).as_secs(), 10);
        // The machine slept.
        move_by(3600);
        assert_eq!(clock.now().since(then).as_secs(), 3600);
        // The clock is set back.
        move_by(-7200);
        assert_eq!(clock.now().since(then).as_secs(), 10);
    }
}
