//! Delays: fixed, or drawn from a distribution, as in WireMock.

use super::FaultError;
use super::members::{Members, amount, milliseconds, string};
use fastrand::Rng;
use serde_json::Value;
use std::f64::consts::TAU;
use std::time::Duration;

/// The delays of a response.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Delay {
    pub(super) fixed: Duration,
    pub(super) distribution: Option<Distribution>,
    /// The request hangs.
    pub(super) is_endless: bool,
}

/// A distribution, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Distribution {
    /// The logarithm is normally distributed; `sigma` is its standard deviation.
    LogNormal {
        median: f64,
        sigma: f64,
        most: Option<f64>,
    },
    Uniform {
        lower: f64,
        upper: f64,
    },
}

impl Delay {
    pub(super) fn fixed(fixed: Duration) -> Self {
        Self { fixed, ..Self::default() }
    }

    pub(super) fn endless() -> Self {
        Self { is_endless: true, ..Self::default() }
    }

    /// Reads `fixedDelayMilliseconds` and `delayDistribution`. With both, the delays are added, as in WireMock.
    pub(super) fn parse(members: &mut Members<'_>) -> Result<Self, FaultError> {
        let fixed = members.parsed("fixedDelayMilliseconds", milliseconds)?.unwrap_or_default();
        let given = members.parsed("delayDistribution", parse_distribution)?;
        let (more, distribution) = given.unwrap_or_default();
        Ok(Self { fixed: fixed.saturating_add(more), distribution, is_endless: false })
    }

    /// A delay; `None` is for ever.
    pub(super) fn draw(&self, random: &mut Rng) -> Option<Duration> {
        let drawn = self.distribution.map_or(Duration::ZERO, |distribution| distribution.draw(random));
        (!self.is_endless).then(|| self.fixed.saturating_add(drawn))
    }
}

fn parse_distribution(value: &Value, pointer: &str) -> Result<(Duration, Option<Distribution>), FaultError> {
    let mut members = Members::of(value, pointer)?;
    let missing = |name: &str| FaultError::new(pointer, format!("`{name}` is missing"));
    let kind = members.parsed("type", string)?.ok_or_else(|| missing("type"))?;
    let mut number = |name| members.parsed(name, amount)?.ok_or_else(|| missing(name));
    let parsed = match kind {
        "lognormal" => {
            let (median, sigma) = (number("median")?, number("sigma")?);
            let most = members.parsed("maxValue", amount)?;
            (Duration::ZERO, Some(Distribution::LogNormal { median, sigma, most }))
        }
        "uniform" => {
            let (lower, upper) = (number("lower")?, number("upper")?);
            if upper < lower {
                return Err(FaultError::new(members.pointer("upper"), "`upper` is smaller than `lower`"));
            }
            (Duration::ZERO, Some(Distribution::Uniform { lower, upper }))
        }
        "fixed" => {
            let fixed = members.parsed("milliseconds", milliseconds)?.ok_or_else(|| missing("milliseconds"))?;
            (fixed, None)
        }
        _ => return Err(FaultError::new(members.pointer("type"), "lognormal, uniform or fixed is expected")),
    };
    members.finish("a delay distribution")?;
    Ok(parsed)
}

impl Distribution {
    fn draw(self, random: &mut Rng) -> Duration {
        let milliseconds = match self {
            Self::LogNormal { median, sigma, most } => {
                // Box-Muller. 1 - f64() is never 0.
                let normal = (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (TAU * random.f64()).cos();
                let drawn = median * (sigma * normal).exp();
                most.map_or(drawn, |most| drawn.min(most))
            }
            Self::Uniform { lower, upper } => lower + (upper - lower) * random.f64(),
        };
        Duration::try_from_secs_f64(milliseconds / 1000.0).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(response: &Value) -> Result<Delay, FaultError> {
        Delay::parse(&mut Members::of(response, "/response").unwrap())
    }

    /// The delays in milliseconds, sorted.
    fn drawn(distribution: Value) -> Vec<f64> {
        let delay = parse(&json!({"delayDistribution": distribution})).unwrap();
        let mut random = Rng::with_seed(7);
        let mut drawn: Vec<_> = (0..2001).map(|_| delay.draw(&mut random).unwrap().as_secs_f64() * 1000.0).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }

    #[test]
    fn a_lognormal_delay_has_its_median_and_its_maximum() {
        let delays = drawn(json!({"type": "lognormal", "median": 80, "sigma": 0.4}));
        assert!((76.0..84.0).contains(&delays[1000]), "{}", delays[1000]);
        // A standard deviation above the median: 84 of 100 values are smaller.
        assert!((112.0..126.0).contains(&delays[1683]), "{}", delays[1683]);
        let limited = drawn(json!({"type": "lognormal", "median": 80, "sigma": 0.4, "maxValue": 90}));
        assert_eq!(limited[2000], 90.0);
    }

    #[test]
    fn a_uniform_delay_is_between_its_bounds() {
        let delays = drawn(json!({"type": "uniform", "lower": 15, "upper": 25}));
        assert!((15.0..15.2).contains(&delays[0]) && (24.8..25.0).contains(&delays[2000]));
        assert!((19.5..20.5).contains(&delays[1000]), "{}", delays[1000]);
    }

    #[test]
    fn a_fixed_delay_and_a_distribution_are_added() {
        let both = json!({"fixedDelayMilliseconds": 100, "delayDistribution": {"type": "fixed", "milliseconds": 20}});
        assert_eq!(parse(&both).unwrap().draw(&mut Rng::with_seed(1)), Some(Duration::from_millis(120)));
        assert_eq!(Delay::endless().draw(&mut Rng::with_seed(1)), None);
    }

    #[test]
    fn wrong_members_are_errors_with_their_pointers() {
        for (response, pointer) in [
            (json!({"fixedDelayMilliseconds": -1}), "/response/fixedDelayMilliseconds"),
            (json!({"delayDistribution": {"median": 1}}), "/response/delayDistribution"),
            (json!({"delayDistribution": {"type": "normal"}}), "/response/delayDistribution/type"),
            (json!({"delayDistribution": {"type": "lognormal", "median": 1}}), "/response/delayDistribution"),
            (
                json!({"delayDistribution": {"type": "uniform", "lower": 2, "upper": 1}}),
                "/response/delayDistribution/upper",
            ),
            (
                json!({"delayDistribution": {"type": "fixed", "milliseconds": 1, "median": 1}}),
                "/response/delayDistribution/median",
            ),
        ] {
            assert_eq!(parse(&response).unwrap_err().pointer, pointer, "{response}");
        }
    }
}
