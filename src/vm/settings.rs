//! Settings of a machine that can be changed while it runs.

use crate::answer_delay::{AnswerDelay, AnswerDelays};
use gce_metadata_routes::{NoMaintenance, SharedNoMaintenance};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Settings that can be changed while the machine runs. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    rate_limits: Arc<AtomicBool>,
    no_maintenance: SharedNoMaintenance,
    answer_delays: AnswerDelays,
    /// The values at the start.
    initial: (bool, NoMaintenance),
}

impl Settings {
    pub(super) fn new(enforces_rate_limits: bool, no_maintenance: SharedNoMaintenance) -> Self {
        let initial = (enforces_rate_limits, no_maintenance.get());
        Self {
            rate_limits: Arc::new(AtomicBool::new(enforces_rate_limits)),
            no_maintenance,
            answer_delays: AnswerDelays::none(),
            initial,
        }
    }

    /// The switch of the rate limits.
    pub(super) fn rate_limit_switch(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.rate_limits)
    }

    pub(crate) fn enforces_rate_limits(&self) -> bool {
        self.rate_limits.load(Ordering::Relaxed)
    }

    pub(crate) fn enforce_rate_limits(&self, enforced: bool) {
        self.rate_limits.store(enforced, Ordering::Relaxed);
    }

    pub(crate) fn no_maintenance(&self) -> NoMaintenance {
        self.no_maintenance.get()
    }

    pub(crate) fn set_no_maintenance(&self, answer: NoMaintenance) {
        self.no_maintenance.set(answer);
    }

    /// The delay of every answer, which the server's stack applies.
    pub(crate) fn answer_delays(&self) -> &AnswerDelays {
        &self.answer_delays
    }

    /// Sets the values of the start again.
    pub(crate) fn reset(&self) {
        let (enforces_rate_limits, no_maintenance) = self.initial;
        self.enforce_rate_limits(enforces_rate_limits);
        self.set_no_maintenance(no_maintenance);
        self.answer_delays.set(AnswerDelay::default());
    }
}
