//! Parameters of the built-in scenarios: their types and defaults in a table, and the values of a run, checked against it.

use super::error::ScenarioError;
use super::parse::MAX_DURATION;
use crate::json_pointer::child;
use gce_metadata_support::duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A parameter of a built-in scenario.
#[derive(Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As a user writes it. Empty: not set.
    pub(super) default: &'static str,
    pub(super) description: &'static str,
}

/// The type of a parameter.
#[derive(Debug)]
pub(super) enum Kind {
    /// A duration, up to this one.
    Time { max: Duration },
    /// One of these words.
    Word(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// A number from 1.
    Count,
}

/// A checked value.
#[derive(Debug, Clone)]
enum Checked {
    Unset,
    Time(Duration),
    Word(String),
    Flag(bool),
    Count(u64),
}

/// The values of all parameters of a scenario.
#[derive(Debug)]
pub(super) struct Given(BTreeMap<&'static str, Checked>);

impl Parameter {
    /// A duration of any length.
    pub(super) const fn time(name: &'static str, default: &'static str, description: &'static str) -> Self {
        Self { name, kind: Kind::Time { max: MAX_DURATION }, default, description }
    }

    /// A switch that is off by default.
    pub(super) const fn flag(name: &'static str, default: &'static str, description: &'static str) -> Self {
        Self { name, kind: Kind::Flag, default, description }
    }

    /// One of some words, of which the first is the default.
    pub(super) const fn word(name: &'static str, words: &'static [&'static str], description: &'static str) -> Self {
        Self { name, kind: Kind::Word(words), default: words[0], description }
    }

    fn check(&self, text: &str) -> Result<Checked, String> {
        match &self.kind {
            Kind::Time { max } => match duration::parse(text) {
                Some(time) if time <= *max => Ok(Checked::Time(time)),
                Some(_) => Err(format!("at most {} are possible", duration::to_text(*max))),
                None => Err(duration::EXPECTED.to_owned()),
            },
            Kind::Word(words) if words.contains(&text) => Ok(Checked::Word(text.to_owned())),
            Kind::Word(words) => Err(format!("expected one of {}", words.join(", "))),
            Kind::Flag => text.parse().map(Checked::Flag).map_err(|_| "expected true or false".to_owned()),
            Kind::Count => match text.parse() {
                Ok(count) if count > 0 => Ok(Checked::Count(count)),
                _ => Err("a number from 1 is expected".to_owned()),
            },
        }
    }

    /// The parameter in JSON, for a list of scenarios.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({"name": self.name, "description": self.description});
        json["type"] = match &self.kind {
            Kind::Time { .. } => "duration",
            Kind::Word(_) => "word",
            Kind::Flag => "boolean",
            Kind::Count => "number",
        }
        .into();
        if let Kind::Word(words) = &self.kind {
            json["values"] = (*words).into();
        }
        if !self.default.is_empty() {
            json["default"] = self.default.into();
        }
        json
    }
}

impl Given {
    /// Checks the parameters of a run against the table of a scenario.
    pub(super) fn check(table: &'static [Parameter], given: &BTreeMap<String, String>) -> Result<Self, ScenarioError> {
        let pointer = |name: &str| child("/parameters", name);
        if let Some(name) = given.keys().find(|name| table.iter().all(|parameter| parameter.name != *name)) {
            let names: Vec<_> = table.iter().map(|parameter| parameter.name).collect();
            let detail = match names.is_empty() {
                true => "this scenario has no parameters".to_owned(),
                false => format!("this scenario has no such parameter: expected {}", names.join(", ")),
            };
            return Err(ScenarioError::invalid(pointer(name), detail));
        }
        let checked = table.iter().map(|parameter| {
            let text = given.get(parameter.name).map_or(parameter.default, String::as_str);
            let is_unset = text.is_empty() && parameter.default.is_empty();
            let checked = if is_unset { Ok(Checked::Unset) } else { parameter.check(text) };
            Ok((parameter.name, checked.map_err(|detail| ScenarioError::invalid(pointer(parameter.name), detail))?))
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a duration.
    pub(super) fn time(&self, name: &str) -> Duration {
        self.time_if_set(name).unwrap_or_default()
    }

    /// The value of a duration; `None` if it has no default and is not set.
    pub(super) fn time_if_set(&self, name: &str) -> Option<Duration> {
        match self.of(name) {
            Checked::Time(time) => Some(*time),
            _ => None,
        }
    }

    pub(super) fn word(&self, name: &str) -> &str {
        match self.of(name) {
            Checked::Word(word) => word,
            _ => "",
        }
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.of(name), Checked::Flag(true))
    }

    /// The value of a number; `None` if it is not set.
    pub(super) fn count_if_set(&self, name: &str) -> Option<u64> {
        match self.of(name) {
            Checked::Count(count) => Some(*count),
            _ => None,
        }
    }

    #[expect(clippy::expect_used, reason = "a scenario reads the parameters of its own table, and a test reads all")]
    fn of(&self, name: &str) -> &Checked {
        self.0.get(name).expect("the table of the scenario has the parameter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Parameter] = &[
        Parameter::time("for", "30s", "how long"),
        Parameter {
            name: "at-most",
            kind: Kind::Time { max: Duration::from_secs(60) },
            default: "",
            description: "limited",
        },
        Parameter::word("then", &["stay", "stop"], "what then"),
        Parameter::flag("strict", "false", "a switch"),
        Parameter { name: "times", kind: Kind::Count, default: "", description: "a number" },
    ];

    fn given(pairs: &[(&str, &str)]) -> Result<Given, ScenarioError> {
        Given::check(TABLE, &pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn parameters_have_defaults() {
        let defaults = given(&[]).unwrap();
        assert_eq!(
            (defaults.time("for").as_secs(), defaults.word("then"), defaults.flag("strict")),
            (30, "stay", false)
        );
        assert_eq!((defaults.time_if_set("at-most"), defaults.count_if_set("times")), (None, None));
        let set =
            given(&[("for", "1m"), ("then", "stop"), ("strict", "true"), ("times", "3"), ("at-most", "60")]).unwrap();
        assert_eq!((set.time("for").as_secs(), set.word("then"), set.flag("strict")), (60, "stop", true));
        assert_eq!((set.time_if_set("at-most").unwrap().as_secs(), set.count_if_set("times")), (60, Some(3)));
    }

    #[test]
    fn a_wrong_parameter_is_named_by_its_pointer() {
        for (name, value, detail) in [
            ("for", "soon", "number of seconds"),
            ("at-most", "61s", "at most 1m"),
            ("then", "reboot", "stay, stop"),
            ("strict", "yes", "true or false"),
            ("times", "0", "from 1"),
            ("until", "1s", "no such parameter: expected for, at-most, then, strict, times"),
        ] {
            let Err(ScenarioError::Invalid { pointer, detail: text }) = given(&[(name, value)]) else {
                panic!("{name}")
            };
            assert_eq!(pointer, format!("/parameters/{name}"));
            assert!(text.contains(detail), "{text}");
        }
        let none = Given::check(&[], &BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        assert!(none.unwrap_err().to_string().contains("has no parameters"));
    }
}
