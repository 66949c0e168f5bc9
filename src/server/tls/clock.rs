//! The time of day, which tests can set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The time of day. Clones share the source.
#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    pub(super) fn system() -> Self {
        Self(Arc::new(SystemTime::now))
    }

    #[cfg(test)]
    pub(super) fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Starts at this time and advances with tokio's clock, which a test can pause.
    #[cfg(test)]
    pub(super) fn starting_at(since: SystemTime) -> Self {
        let start = tokio::time::Instant::now();
        Self::new(move || since + start.elapsed())
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Whether this much time has passed since then. `false` if the clock was set back.
    pub(super) fn has_passed(&self, time: Duration, since: SystemTime) -> bool {
        self.now().duration_since(since).is_ok_and(|age| age >= time)
    }
}
