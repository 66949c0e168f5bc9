//! The delay of every answer: fixed, random, or both.

use aws_lc_rs::rand::fill;
use gce_metadata_layers::Delays;
use std::f64::consts::TAU;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest delay.
const MAX: Duration = Duration::from_secs(24 * 3600);

/// The delay of every answer. Its two parts are added up, as WireMock does.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct AnswerDelay {
    /// The part that is the same for all answers.
    pub fixed: Duration,
    /// The part that is random.
    pub distribution: Option<DelayDistribution>,
}

impl AnswerDelay {
    /// This delay for all answers.
    pub fn fixed(delay: Duration) -> Self {
        Self { fixed: delay, distribution: None }
    }

    /// A random delay.
    pub fn random(distribution: DelayDistribution) -> Self {
        Self { fixed: Duration::ZERO, distribution: Some(distribution) }
    }

    /// The delay of an answer. At most a day.
    fn sample(&self) -> Duration {
        let random = self.distribution.map_or(Duration::ZERO, |distribution| distribution.sample(uniform));
        self.fixed.saturating_add(random).min(MAX)
    }
}

/// The distribution of a random delay.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DelayDistribution {
    /// Most delays are near the median, and some are much longer, as in a network.
    LogNormal {
        /// Half of the delays are shorter.
        median: Duration,
        /// The standard deviation of the logarithm: the larger, the longer the tail.
        sigma: f64,
    },
    /// All delays between these are equally likely.
    Uniform {
        /// The shortest delay.
        lower: Duration,
        /// The longest delay.
        upper: Duration,
    },
}

impl DelayDistribution {
    /// A delay, from numbers that are uniform in `0.0..1.0`.
    fn sample(self, mut uniform: impl FnMut() -> f64) -> Duration {
        match self {
            Self::LogNormal { median, sigma } => {
                // The Box-Muller transform. The logarithm of 0 is infinite.
                let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
                let normal = radius * (TAU * uniform()).cos();
                let factor = (sigma * normal).exp();
                Duration::try_from_secs_f64(median.as_secs_f64() * factor).unwrap_or(MAX)
            }
            Self::Uniform { lower, upper } => {
                let (lower, upper) = (lower.min(MAX), upper.min(MAX));
                lower + upper.saturating_sub(lower).mul_f64(uniform())
            }
        }
    }
}

/// A random number in `0.0..1.0`; 0 if the system gives no random bytes.
#[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
fn uniform() -> f64 {
    let mut random = [0; 8];
    let _ = fill(&mut random);
    (u64::from_ne_bytes(random) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The delay of every answer of a running server. Clones control the same server.
#[derive(Debug, Clone)]
pub struct AnswerDelays(Arc<watch::Sender<AnswerDelay>>);

impl AnswerDelays {
    /// No delay.
    pub(crate) fn none() -> Self {
        Self(Arc::new(watch::Sender::new(AnswerDelay::default())))
    }

    /// Delays each request that arrives from now on.
    pub fn set(&self, delay: AnswerDelay) {
        self.0.send_replace(delay);
    }

    /// The current delay.
    pub fn get(&self) -> AnswerDelay {
        *self.0.borrow()
    }
}

impl Delays for AnswerDelays {
    fn next(&self) -> Duration {
        self.0.borrow().sample()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn quantiles(distribution: DelayDistribution) -> [Duration; 3] {
        let mut delays: Vec<_> = (0..10_001).map(|_| distribution.sample(uniform)).collect();
        delays.sort();
        [delays[0], delays[5_000], delays[10_000]]
    }

    #[test]
    fn uniform_delays_are_between_their_bounds() {
        let [least, median, most] = quantiles(DelayDistribution::Uniform { lower: 100 * MS, upper: 300 * MS });
        assert!((100 * MS..110 * MS).contains(&least), "{least:?}");
        assert!((190 * MS..210 * MS).contains(&median), "{median:?}");
        assert!((290 * MS..=300 * MS).contains(&most), "{most:?}");
    }

    #[test]
    fn log_normal_delays_have_their_median_and_a_long_tail() {
        let [least, median, most] = quantiles(DelayDistribution::LogNormal { median: 100 * MS, sigma: 0.5 });
        assert!(least < 40 * MS && most > 300 * MS, "{least:?} {most:?}");
        assert!((95 * MS..105 * MS).contains(&median), "{median:?}");
        let same = quantiles(DelayDistribution::LogNormal { median: 80 * MS, sigma: 0.0 });
        assert_eq!(same, [80 * MS; 3]);
    }

    #[test]
    fn delays_add_up_to_a_day_at_most() {
        let both = AnswerDelay {
            fixed: 10 * MS,
            distribution: Some(DelayDistribution::Uniform { lower: 5 * MS, upper: 5 * MS }),
        };
        assert_eq!(both.sample(), 15 * MS);
        assert_eq!(AnswerDelay::fixed(Duration::MAX).sample(), MAX);
        let endless = DelayDistribution::LogNormal { median: MAX, sigma: 1e9 };
        assert_eq!(endless.sample(|| 0.999), MAX);
    }
}
