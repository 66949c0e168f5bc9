//! A reset: the machine starts again without a shutdown. Its metadata does not change.

use super::super::definition::{Definition, State};
use super::super::signal::Signal;
use super::BuiltIn;
use super::power::BOOTING;
use crate::server::NotReady;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "reset",
    description: "The machine is reset without a shutdown: all connections break, and it starts again",
    parameters: &[BOOTING],
    states: |given, _| {
        let state = State::named("Resetting").signal(Signal::Kill).not_ready(NotReady::Refuse);
        Ok(Definition { states: vec![state], end: Some(given.time("boot")), ..Definition::default() })
    },
};
