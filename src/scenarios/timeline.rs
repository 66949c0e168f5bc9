//! The time of a run: it follows the clock at some speed, or only moves by hand.

use serde_json::{Map, Value};
use std::time::Duration;
use tokio::time::Instant;

/// How a run goes from state to state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Progression {
    /// By time; a step or an advance moves the run ahead of time.
    #[default]
    Time,
    /// Only by steps and advances.
    Manual,
    /// All states at once. The run stays in its last state.
    Immediate,
}

impl Progression {
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Time, Self::Manual, Self::Immediate].into_iter().find(|it| it.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Manual => "manual",
            Self::Immediate => "immediate",
        }
    }
}

/// The position of a run. It waits for `lead` by the clock, and is at `base` then.
#[derive(Debug)]
pub(super) struct Timeline {
    progression: Progression,
    /// The time of the clock from which `lead` is counted.
    anchor: Instant,
    lead: Duration,
    /// The position since the start at `anchor + lead`.
    base: Duration,
    speed: f64,
}

impl Timeline {
    pub(super) fn new(progression: Progression, now: Instant, lead: Duration, speed: f64) -> Self {
        Self { progression, anchor: now, lead, base: Duration::ZERO, speed }
    }

    pub(super) fn progression(&self) -> Progression {
        self.progression
    }

    /// The time of the clock when the run is at `offset`; `None` if it does not move by itself, or in the far future.
    pub(super) fn due(&self, offset: Duration) -> Option<Instant> {
        if self.progression != Progression::Time {
            return None;
        }
        let ahead = offset.saturating_sub(self.base).as_secs_f64() / self.speed;
        let ahead = Duration::try_from_secs_f64(ahead).ok()?;
        self.anchor.checked_add(self.lead)?.checked_add(ahead)
    }

    /// Whether the run has reached `offset`.
    pub(super) fn has_reached(&self, offset: Duration, now: Instant) -> bool {
        match self.progression {
            Progression::Time => self.due(offset).is_some_and(|due| due <= now),
            Progression::Manual => self.lead.is_zero() && offset <= self.base,
            Progression::Immediate => true,
        }
    }

    /// Moves the run ahead by this time.
    pub(super) fn advance(&mut self, by: Duration, now: Instant) {
        let (lead, position) = self.position(now);
        self.anchor = now;
        self.lead = lead.saturating_sub(by);
        self.base = position.saturating_add(by.saturating_sub(lead));
    }

    /// Moves the run to this position.
    pub(super) fn jump(&mut self, offset: Duration, now: Instant) {
        (self.anchor, self.lead, self.base) = (now, Duration::ZERO, offset);
        // Otherwise the later states would be entered at once.
        if self.progression == Progression::Immediate {
            self.progression = Progression::Manual;
        }
    }

    /// The time until the start, and the position since it.
    fn position(&self, now: Instant) -> (Duration, Duration) {
        if self.progression != Progression::Time {
            return (self.lead, self.base);
        }
        let passed = now.saturating_duration_since(self.anchor);
        let since_start = passed.saturating_sub(self.lead);
        let moved = Duration::try_from_secs_f64(since_start.as_secs_f64() * self.speed).unwrap_or(Duration::MAX);
        (self.lead.saturating_sub(passed), self.base.saturating_add(moved))
    }

    /// Adds the position to the JSON of a run.
    pub(super) fn write(&self, now: Instant, json: &mut Map<String, Value>) {
        use gce_metadata_support::duration::to_text;
        let (lead, position) = self.position(now);
        json.insert("progression".to_owned(), self.progression.name().into());
        json.insert("speed".to_owned(), self.speed.into());
        if !lead.is_zero() {
            json.insert("startsIn".to_owned(), to_text(lead).into());
        }
        json.insert("elapsed".to_owned(), to_text(position).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_clock_moves_a_run_at_its_speed_after_the_lead() {
        let now = Instant::now();
        let timeline = Timeline::new(Progression::Time, now, 10 * SECOND, 60.0);
        assert_eq!(timeline.due(Duration::ZERO), Some(now + 10 * SECOND));
        assert_eq!(timeline.due(120 * SECOND), Some(now + 12 * SECOND));
        assert_eq!(timeline.position(now + 4 * SECOND), (6 * SECOND, Duration::ZERO));
        assert_eq!(timeline.position(now + 11 * SECOND), (Duration::ZERO, 60 * SECOND));
        assert!(!timeline.has_reached(Duration::ZERO, now) && timeline.has_reached(Duration::ZERO, now + 10 * SECOND));
    }

    #[test]
    fn an_advance_moves_through_the_lead_first() {
        let now = Instant::now();
        for progression in [Progression::Time, Progression::Manual] {
            let mut timeline = Timeline::new(progression, now, 10 * SECOND, 2.0);
            timeline.advance(4 * SECOND, now);
            assert_eq!(timeline.position(now), (6 * SECOND, Duration::ZERO));
            timeline.advance(36 * SECOND, now);
            assert_eq!(timeline.position(now), (Duration::ZERO, 30 * SECOND));
            assert!(timeline.has_reached(30 * SECOND, now) && !timeline.has_reached(31 * SECOND, now));
        }
    }

    #[test]
    fn a_manual_run_does_not_follow_the_clock() {
        let now = Instant::now();
        let timeline = Timeline::new(Progression::Manual, now, Duration::ZERO, 1.0);
        assert_eq!(timeline.due(SECOND), None);
        assert!(timeline.has_reached(Duration::ZERO, now) && !timeline.has_reached(SECOND, now + 9 * SECOND));
    }

    #[test]
    fn the_far_future_is_never_due() {
        let timeline = Timeline::new(Progression::Time, Instant::now(), Duration::ZERO, 0.001);
        assert_eq!(timeline.due(Duration::MAX), None);
    }
}
