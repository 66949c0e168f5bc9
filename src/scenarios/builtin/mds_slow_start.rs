//! A metadata server that starts later than the program on its machine, as on GKE's nodes.

use super::super::definition::{Definition, State};
use super::super::parameters::Parameter;
use super::BuiltIn;
use crate::server::NotReady;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "mds-slow-start",
    description: "The metadata server refuses connections for some seconds, as when it starts later than its clients",
    parameters: &[Parameter::time("for", "10s", "how long; 5s to 20s were observed")],
    states: |given, _| {
        let states = vec![State::named("Starting").not_ready(NotReady::Refuse)];
        Ok(Definition { states, end: Some(given.time("for")), ..Definition::default() })
    },
};
