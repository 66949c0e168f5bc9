//! The JSON of a delay's distribution, which is WireMock's.

use crate::admin::problem::Problem;
use crate::answer_delay::DelayDistribution;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest delay: a day.
const MAX_MILLISECONDS: u32 = 24 * 3600 * 1000;

/// A delay at this JSON pointer.
pub(super) fn milliseconds(delay: u64, pointer: &str) -> Result<Duration, Problem> {
    if delay > MAX_MILLISECONDS.into() {
        return Err(Problem::unprocessable("a delay is 0 to 86400000 milliseconds").at(pointer));
    }
    Ok(Duration::from_millis(delay))
}

fn pointer(member: &str) -> String {
    format!("/delayDistribution/{member}")
}

/// A distribution of delays, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Distribution {
    LogNormal { median: f64, sigma: f64 },
    Uniform { lower: u64, upper: u64 },
}

impl Distribution {
    /// The distribution, if its numbers make sense.
    pub(super) fn checked(self) -> Result<DelayDistribution, Problem> {
        let wrong = |text, member: &str| Problem::unprocessable(text).at(pointer(member));
        match self {
            Self::LogNormal { median, .. } if !(0.0..=f64::from(MAX_MILLISECONDS)).contains(&median) => {
                Err(wrong("the median is 0 to 86400000 milliseconds", "median"))
            }
            Self::LogNormal { sigma, .. } if sigma < 0.0 => Err(wrong("sigma is at least 0", "sigma")),
            Self::LogNormal { median, sigma } => {
                Ok(DelayDistribution::LogNormal { median: Duration::from_secs_f64(median / 1000.0), sigma })
            }
            Self::Uniform { lower, upper } if lower > upper => Err(wrong("upper is at least lower", "upper")),
            Self::Uniform { lower, upper } => {
                let (lower, upper) = (milliseconds(lower, &pointer("lower"))?, milliseconds(upper, &pointer("upper"))?);
                Ok(DelayDistribution::Uniform { lower, upper })
            }
        }
    }

    pub(super) fn of(distribution: DelayDistribution) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        match distribution {
            DelayDistribution::LogNormal { median, sigma } => {
                Self::LogNormal { median: median.as_secs_f64() * 1000.0, sigma }
            }
            DelayDistribution::Uniform { lower, upper } => {
                Self::Uniform { lower: milliseconds(lower), upper: milliseconds(upper) }
            }
        }
    }
}
