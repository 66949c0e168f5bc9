//! A short outage of the metadata server: 503 for under a second, as Google documents it.

use super::super::definition::{Definition, State};
use super::super::parameters::Parameter;
use super::BuiltIn;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an outage takes.
pub(super) const UNAVAILABLE: Duration = Duration::from_millis(800);

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "mds-blip",
    description: "The metadata server answers 503 for under a second",
    parameters: &[Parameter::time("for", "800ms", "how long")],
    states: |given, _| {
        let states = vec![State::named("Unavailable").fault(unavailable())];
        Ok(Definition { states, end: Some(given.time("for")), ..Definition::default() })
    },
};

/// A fault that answers each request with 503.
pub(super) fn unavailable() -> Value {
    json!({"name": "the metadata server is unavailable", "request": {"method": "ANY"}, "response": {"status": 503}})
}
