//! A reset: the machine starts again without a shutdown. Its metadata does not change.

use super::super::definition::{Definition, State};
use super::super::effects::Reachability;
use super::super::signal::Signal;
use super::BuiltIn;
use super::power::BOOTING;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "reset",
    description: "The machine is reset without a shutdown: all connections break, and it starts again",
    parameters: &[BOOTING],
    states: |given, _| {
        let state = State::named("Resetting").signal(Signal::Kill).reachable(Reachability::Refused);
        Ok(Definition { states: vec![state], end: Some(given.time("boot")), ..Definition::default() })
    },
};
