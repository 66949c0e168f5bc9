//! How often a fault is injected: MockServer's members, and `failEvery`.

use super::FaultError;
use super::members::{Members, fraction, milliseconds, number_from};
use fastrand::Rng;
use std::time::Duration;
use tokio::time::Instant;

/// When a fault is injected. All conditions must hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    /// The number of requests that are answered as usual first.
    succeed_first: u64,
    /// The number of requests after them that the fault concerns; `None` for all.
    fail_request_count: Option<u64>,
    /// Of these requests, every Nth.
    fail_every: u64,
    probability: Option<f64>,
    seed: Option<u64>,
    /// The time before the outage, and its duration.
    outage: (Duration, Option<Duration>),
    /// The number of requests in each window that are answered as usual, and the length of a window.
    quota: Option<(u64, Duration)>,
    time_to_live: Option<Duration>,
}

impl Schedule {
    pub(super) fn parse(members: &mut Members<'_>, has_instructions: bool) -> Result<Self, FaultError> {
        let exclusive = ["succeedFirst", "failRequestCount", "failEvery"];
        for name in exclusive {
            if has_instructions && let Some((_, pointer)) = members.take(name) {
                return Err(FaultError::new(pointer, format!("`{name}` can't be combined with `instructions`")));
            }
        }
        let succeed_first = members.parsed("succeedFirst", number_from(0))?.unwrap_or(0);
        let fail_request_count = members.parsed("failRequestCount", number_from(1))?;
        let fail_every = members.parsed("failEvery", number_from(1))?.unwrap_or(1);
        if fail_request_count.is_some_and(|count| count < fail_every) {
            let detail = "the fault is never injected: `failRequestCount` is smaller than `failEvery`";
            return Err(FaultError::new(members.pointer("failRequestCount"), detail));
        }
        let probability = members.parsed("probability", fraction)?;
        let seed = members.parsed("seed", number_from(0))?;
        let after = members.parsed("outageAfterMillis", milliseconds)?.unwrap_or_default();
        let outage = (after, members.parsed("outageDurationMillis", milliseconds)?);
        let limit = members.parsed("quotaLimit", number_from(0))?;
        let window = members.parsed("quotaWindowMillis", milliseconds)?;
        let quota = match (limit, window) {
            (None, None) => None,
            (Some(limit), Some(window)) if !window.is_zero() => Some((limit, window)),
            (Some(_), Some(_)) => {
                return Err(FaultError::new(members.pointer("quotaWindowMillis"), "1 or more is expected"));
            }
            (Some(_), None) => return Err(FaultError::new(members.pointer("quotaLimit"), "needs `quotaWindowMillis`")),
            (None, Some(_)) => return Err(FaultError::new(members.pointer("quotaWindowMillis"), "needs `quotaLimit`")),
        };
        let time_to_live = members.parsed("timeToLive", milliseconds)?;
        let schedule =
            Self { succeed_first, fail_request_count, fail_every, probability, seed, outage, quota, time_to_live };
        Ok(schedule)
    }
}

/// The state of a fault since it was added.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    added: Instant,
    pub(super) matched: u64,
    pub(super) injected: u64,
    /// The current window of the quota, and the requests in it.
    window: (u128, u64),
    pub(super) random: Rng,
}

impl Progress {
    pub(super) fn start(schedule: &Schedule, now: Instant) -> Self {
        let random = schedule.seed.map_or_else(Rng::new, Rng::with_seed);
        Self { added: now, matched: 0, injected: 0, window: (0, 0), random }
    }

    /// Counts a request that matches, and decides whether the fault is injected. `uses` is the number of instructions; `None` without a
    /// limit.
    pub(super) fn decide(&mut self, schedule: &Schedule, uses: Option<u64>, now: Instant) -> bool {
        self.matched += 1;
        let elapsed = now.duration_since(self.added);
        let is_over_quota = schedule.quota.is_none_or(|(limit, window)| {
            let current = elapsed.as_nanos() / window.as_nanos();
            let count = if self.window.0 == current { self.window.1 + 1 } else { 1 };
            self.window = (current, count);
            count > limit
        });
        let after_successes = self.matched.checked_sub(schedule.succeed_first).filter(|number| *number > 0);
        let is_turn = after_successes.is_some_and(|number| {
            schedule.fail_request_count.is_none_or(|count| number <= count) && number % schedule.fail_every == 0
        });
        let is_injected = is_turn
            && is_over_quota
            && elapsed >= schedule.outage.0
            && !Self::has_expired(schedule, elapsed)
            && uses.is_none_or(|uses| self.injected < uses)
            && schedule.probability.is_none_or(|probability| self.random.f64() < probability);
        self.injected += u64::from(is_injected);
        is_injected
    }

    /// Whether the fault will not be injected again.
    pub(super) fn is_completed(&self, schedule: &Schedule, uses: Option<u64>, now: Instant) -> bool {
        let last = schedule.fail_request_count.map(|count| schedule.succeed_first.saturating_add(count));
        last.is_some_and(|last| self.matched >= last)
            || uses.is_some_and(|uses| self.injected >= uses)
            || Self::has_expired(schedule, now.duration_since(self.added))
    }

    fn has_expired(schedule: &Schedule, elapsed: Duration) -> bool {
        let (after, duration) = schedule.outage;
        let outage_is_over = duration.is_some_and(|duration| elapsed >= after.saturating_add(duration));
        outage_is_over || schedule.time_to_live.is_some_and(|time| elapsed >= time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use tokio::time::advance;

    fn parse(document: &Value) -> Result<Schedule, FaultError> {
        let mut members = Members::of(document, "").unwrap();
        Schedule::parse(&mut members, document.get("instructions").is_some())
    }

    /// Requests to a fault with this schedule.
    struct Asked(Schedule, Progress);

    impl Asked {
        fn new(document: &Value) -> Self {
            let schedule = parse(document).unwrap();
            let progress = Progress::start(&schedule, Instant::now());
            Self(schedule, progress)
        }

        /// `x` for a request with the fault, `.` for one without.
        fn times(&mut self, count: usize) -> String {
            let mut one = || if self.1.decide(&self.0, None, Instant::now()) { 'x' } else { '.' };
            (0..count).map(|_| one()).collect()
        }

        fn is_completed(&self) -> bool {
            self.1.is_completed(&self.0, None, Instant::now())
        }
    }

    #[test]
    fn requests_are_counted_from_the_first_one() {
        for (document, expected) in [
            (json!({}), "xxxxxxxx"),
            (json!({"succeedFirst": 2}), "..xxxxxx"),
            (json!({"failRequestCount": 2}), "xx......"),
            (json!({"succeedFirst": 1, "failRequestCount": 2}), ".xx....."),
            (json!({"failEvery": 3}), "..x..x.."),
            (json!({"succeedFirst": 1, "failEvery": 2, "failRequestCount": 4}), "..x.x..."),
            (json!({"probability": 0.0}), "........"),
            (json!({"probability": 1}), "xxxxxxxx"),
        ] {
            assert_eq!(Asked::new(&document).times(8), expected, "{document}");
        }
    }

    #[test]
    fn a_fault_with_a_count_completes_after_its_last_request() {
        let mut asked = Asked::new(&json!({"succeedFirst": 1, "failRequestCount": 2}));
        assert!(asked.times(2) == ".x" && !asked.is_completed());
        assert!(asked.times(1) == "x" && asked.is_completed());
        asked.times(5);
        assert_eq!((asked.1.matched, asked.1.injected), (8, 2));
    }

    #[test]
    fn each_instruction_is_injected_once() {
        let schedule = parse(&json!({"instructions": []})).unwrap();
        let (mut progress, now) = (Progress::start(&schedule, Instant::now()), Instant::now());
        let injected = [(); 3].map(|()| progress.decide(&schedule, Some(2), now));
        assert_eq!(injected, [true, true, false]);
        assert!(progress.is_completed(&schedule, Some(2), now));
    }

    #[test]
    fn a_seed_makes_probability_reproducible() {
        let times = |seed| Asked::new(&json!({"probability": 0.3, "seed": seed})).times(1000);
        let first = times(7);
        assert_eq!(first, times(7));
        assert_ne!(first, times(8));
        let injected = first.matches('x').count();
        assert!((250..350).contains(&injected), "{injected} of 1000");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_and_ends_by_the_clock() {
        let mut asked = Asked::new(&json!({"outageAfterMillis": 1000, "outageDurationMillis": 2000}));
        assert_eq!(asked.times(1), ".");
        advance(Duration::from_millis(1000)).await;
        assert_eq!(asked.times(2), "xx");
        advance(Duration::from_millis(1999)).await;
        assert!(asked.times(1) == "x" && !asked.is_completed());
        advance(Duration::from_millis(1)).await;
        assert!(asked.times(1) == "." && asked.is_completed());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_above_the_quota_of_a_window_fail() {
        let mut asked = Asked::new(&json!({"quotaLimit": 2, "quotaWindowMillis": 1000}));
        assert_eq!(asked.times(4), "..xx");
        advance(Duration::from_millis(999)).await;
        assert_eq!(asked.times(1), "x");
        advance(Duration::from_millis(1)).await;
        assert_eq!(asked.times(3), "..x");
        assert!(!asked.is_completed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_ends_after_its_time_to_live() {
        let mut asked = Asked::new(&json!({"timeToLive": 60_000}));
        advance(Duration::from_millis(59_999)).await;
        assert_eq!(asked.times(1), "x");
        advance(Duration::from_millis(1)).await;
        assert!(asked.times(1) == "." && asked.is_completed());
    }

    #[test]
    fn wrong_members_are_errors_with_their_pointers() {
        for (document, pointer) in [
            (json!({"succeedFirst": -1}), "/succeedFirst"),
            (json!({"failRequestCount": 0}), "/failRequestCount"),
            (json!({"failEvery": 0}), "/failEvery"),
            (json!({"failEvery": 3, "failRequestCount": 2}), "/failRequestCount"),
            (json!({"probability": 1.1}), "/probability"),
            (json!({"seed": 1.5}), "/seed"),
            (json!({"outageAfterMillis": "1s"}), "/outageAfterMillis"),
            (json!({"quotaLimit": 1}), "/quotaLimit"),
            (json!({"quotaWindowMillis": 1}), "/quotaWindowMillis"),
            (json!({"quotaLimit": 1, "quotaWindowMillis": 0}), "/quotaWindowMillis"),
            (json!({"timeToLive": -1}), "/timeToLive"),
            (json!({"instructions": [], "failRequestCount": 2}), "/failRequestCount"),
            (json!({"instructions": [], "succeedFirst": 2}), "/succeedFirst"),
            (json!({"instructions": [], "failEvery": 2}), "/failEvery"),
        ] {
            assert_eq!(parse(&document).unwrap_err().pointer, pointer, "{document}");
        }
    }
}
