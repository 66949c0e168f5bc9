//! An outage of tokens: requests for them are answered 503, and all others as usual.

use super::super::definition::{Definition, State};
use super::super::parameters::{Given, Kind, Parameter};
use super::BuiltIn;
use serde_json::{Value, json};

/// How long tokens are refused.
pub(super) const FOR: Parameter = Parameter::time("for", "30s", "how long");

/// How many requests are refused.
pub(super) const TIMES: Parameter =
    Parameter { name: "times", kind: Kind::Count, default: "", description: "refuse this many requests only" };

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "token-outage",
    description: "Requests for tokens are answered 503",
    parameters: &[FOR, TIMES],
    states: |given, _| Ok(refused("Outage", 503, given)),
};

/// A state in which requests for tokens have this status.
pub(super) fn refused(state: &str, status: u16, given: &Given) -> Definition {
    let mut fault: Value = json!({
        "name": format!("tokens are refused with {status}"),
        "request": {"method": "ANY", "urlPathPattern": "/computeMetadata/v1/instance/service-accounts/[^/]+/(token|identity)"},
        "response": {"status": status},
    });
    if let Some(times) = given.count_if_set("times") {
        fault["failRequestCount"] = times.into();
    }
    Definition { states: vec![State::named(state).fault(fault)], end: Some(given.time("for")), ..Definition::default() }
}
