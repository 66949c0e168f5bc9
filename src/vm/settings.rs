//! Settings of a machine that can be changed while it runs.

use crate::answer_delay::{AnswerDelay, AnswerDelays};
use gce_metadata_routes::{NoMaintenance, SharedNoMaintenance};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Settings that can be changed while the machine runs. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    rate_limits: Arc<AtomicBool>,
    no_maintenance: SharedNoMaintenance,
    answer_delays: AnswerDelays,
    /// The values of the options.
    initial: (bool, NoMaintenance),
    baseline: Arc<Mutex<SettingsBaseline>>,
}

/// The values of simulation files, which a reset restores. A value that they do not have is that of the options.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SettingsBaseline {
    pub(crate) rate_limits: Option<bool>,
    pub(crate) no_maintenance: Option<NoMaintenance>,
    pub(crate) delay: AnswerDelay,
}

impl Settings {
    pub(super) fn new(enforces_rate_limits: bool, no_maintenance: SharedNoMaintenance) -> Self {
        let initial = (enforces_rate_limits, no_maintenance.get());
        Self {
            rate_limits: Arc::new(AtomicBool::new(enforces_rate_limits)),
            no_maintenance,
            answer_delays: AnswerDelays::none(),
            initial,
            baseline: Arc::default(),
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

    /// Sets the values that a reset restores, and puts those in force that have changed.
    pub(crate) fn set_baseline(&self, baseline: SettingsBaseline) {
        let before = std::mem::replace(&mut *self.baseline(), baseline.clone());
        if before.rate_limits != baseline.rate_limits {
            self.enforce_rate_limits(baseline.rate_limits.unwrap_or(self.initial.0));
        }
        if before.no_maintenance != baseline.no_maintenance {
            self.set_no_maintenance(baseline.no_maintenance.unwrap_or(self.initial.1));
        }
        if before.delay != baseline.delay {
            self.answer_delays.set(baseline.delay);
        }
    }

    /// Sets the values of the simulation files and of the options again.
    pub(crate) fn reset(&self) {
        let SettingsBaseline { rate_limits, no_maintenance, delay } = self.baseline().clone();
        self.enforce_rate_limits(rate_limits.unwrap_or(self.initial.0));
        self.set_no_maintenance(no_maintenance.unwrap_or(self.initial.1));
        self.answer_delays.set(delay);
    }

    fn baseline(&self) -> MutexGuard<'_, SettingsBaseline> {
        self.baseline.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
