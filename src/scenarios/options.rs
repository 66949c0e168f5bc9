//! The options of a run, from JSON or from the builder of the library.

use super::error::ScenarioError;
use super::parse::{object, text, time, unknown};
use super::timeline::Progression;
use crate::json_pointer::child;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The slowest and the fastest speed.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.001..=1_000_000.0;

/// How a scenario is run.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    pub(super) start: Start,
    pub(super) progression: Progression,
    pub(super) speed: f64,
    pub(super) keep: bool,
    /// The parameters of the scenario, by their names.
    pub(super) parameters: BTreeMap<String, String>,
}

/// When a run starts.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    In(Duration),
    /// A time of the wall clock; a past one starts at once.
    At(SystemTime),
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            start: Start::In(Duration::ZERO),
            progression: Progression::default(),
            speed: 1.0,
            keep: false,
            parameters: BTreeMap::new(),
        }
    }
}

impl RunOptions {
    /// Parses `{"in", "at", "progression", "speed", "keep", "parameters"}`; `pointer` is its place in the document.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, ScenarioError> {
        let mut options = Self::default();
        let mut start: Option<Start> = None;
        for (name, value) in object(value, pointer)? {
            let pointer = child(pointer, name);
            match name.as_str() {
                "in" | "at" => {
                    let given = if name == "in" { Start::In(time(value, &pointer)?) } else { at(value, &pointer)? };
                    if start.replace(given).is_some() {
                        return Err(ScenarioError::invalid(pointer, "`in` or `at` is expected, and both are given"));
                    }
                }
                "progression" => {
                    let expected = || ScenarioError::invalid(&pointer, "expected time, manual or immediate");
                    let progression = Progression::from_name(text(value, &pointer)?);
                    options.progression = progression.ok_or_else(expected)?;
                }
                "speed" => {
                    let expected = || ScenarioError::invalid(&pointer, "a number is expected");
                    options.speed = value.as_f64().ok_or_else(expected)?;
                }
                "keep" => {
                    let expected = || ScenarioError::invalid(&pointer, "a boolean is expected");
                    options.keep = value.as_bool().ok_or_else(expected)?;
                }
                "parameters" => {
                    let given = object(value, &pointer)?.iter();
                    let given =
                        given.map(|(name, value)| Ok((name.clone(), parameter(value, &child(&pointer, name))?)));
                    options.parameters = given.collect::<Result<_, _>>()?;
                }
                _ => return Err(unknown(&pointer, "in, at, progression, speed, keep or parameters")),
            }
        }
        options.start = start.unwrap_or(options.start);
        options.check(pointer)?;
        Ok(options)
    }

    /// Checks what the types allow.
    pub(super) fn check(&self, pointer: &str) -> Result<(), ScenarioError> {
        if SPEEDS.contains(&self.speed) {
            return Ok(());
        }
        let detail = format!("expected a number from {} to {}", SPEEDS.start(), SPEEDS.end());
        Err(ScenarioError::invalid(child(pointer, "speed"), detail))
    }

    /// The time until the start.
    pub(super) fn lead(&self, now: SystemTime) -> Duration {
        match self.start {
            Start::In(lead) => lead,
            Start::At(time) => time.duration_since(now).unwrap_or_default(),
        }
    }
}

fn at(value: &Value, pointer: &str) -> Result<Start, ScenarioError> {
    let time = OffsetDateTime::parse(text(value, pointer)?, &Rfc3339);
    let expected = |_| ScenarioError::invalid(pointer, "a time is expected, such as 2030-01-01T12:00:00Z");
    Ok(Start::At(time.map_err(expected)?.into()))
}

/// The value of a parameter as text.
fn parameter(value: &Value, pointer: &str) -> Result<String, ScenarioError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        _ => Err(ScenarioError::invalid(pointer, "a string, a number or a boolean is expected")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn options_are_read_from_json() {
        let all = json!({"in": "5s", "progression": "manual", "speed": 60, "keep": true, "parameters": {"notice": 120, "a": true}});
        let options = RunOptions::parse(&all, "").unwrap();
        assert_eq!((options.speed, options.keep, options.progression), (60.0, true, Progression::Manual));
        assert_eq!(options.lead(SystemTime::now()), Duration::from_secs(5));
        assert_eq!(options.parameters, BTreeMap::from([("a".into(), "true".into()), ("notice".into(), "120".into())]));
        let at = RunOptions::parse(&json!({"at": "1970-01-01T00:01:00Z"}), "").unwrap();
        assert_eq!(at.lead(SystemTime::UNIX_EPOCH), Duration::from_secs(60));
        assert_eq!(at.lead(SystemTime::now()), Duration::ZERO, "a time in the past starts at once");
    }

    #[test]
    fn a_wrong_option_is_named_by_its_pointer() {
        for (options, pointer) in [
            (json!({"in": "soon"}), "/run/0/in"),
            (json!({"at": "noon"}), "/run/0/at"),
            (json!({"in": "1s", "at": "2030-01-01T12:00:00Z"}), "/run/0/in"),
            (json!({"progression": "fast"}), "/run/0/progression"),
            (json!({"speed": 0}), "/run/0/speed"),
            (json!({"speed": "2"}), "/run/0/speed"),
            (json!({"keep": 1}), "/run/0/keep"),
            (json!({"parameters": {"a": []}}), "/run/0/parameters/a"),
            (json!({"notice": 120}), "/run/0/notice"),
        ] {
            let Err(ScenarioError::Invalid { pointer: found, .. }) = RunOptions::parse(&options, "/run/0") else {
                panic!("{options} is accepted");
            };
            assert_eq!(found, pointer, "{options}");
        }
    }
}
