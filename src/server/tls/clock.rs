//! The time of day, which tests set.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Tells the time of day. Clones tell the same.
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

    /// Starts at this time and runs as tokio's clock does, which a test can pause.
    #[cfg(test)]
    pub(super) fn starting_at(since: SystemTime) -> Self {
        let start = tokio::time::Instant::now();
        Self::new(move || since + start.elapsed())
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.0)()
    }

    /// Whether this much time has passed. A clock that was set back says no.
    pub(super) fn has_passed(&self, time: Duration, since: SystemTime) -> bool {
        self.now().duration_since(since).is_ok_and(|age| age >= time)
    }
}
