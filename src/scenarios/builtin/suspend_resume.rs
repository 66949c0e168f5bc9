//! A suspension: nothing on the machine makes progress until it is resumed; its clock is behind then.

use super::super::definition::State;
use super::super::parameters::Parameter;
use super::super::signal::Signal;
use super::BuiltIn;
use super::power::restarted;
use crate::server::NotReady;
use std::time::Duration;

/// How long the drift token is new before the run ends; the child of `exec` continues meanwhile.
const RESUMED: Duration = Duration::ZERO;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "suspend-resume",
    description: "The machine is suspended and resumed: programs stand still, the server is unreachable, then the drift token is new",
    parameters: &[Parameter::time("for", "30s", "how long the machine is suspended")],
    states: |given, _| {
        let suspended = State::named("Suspended").signal(Signal::Stop).not_ready(NotReady::Refuse);
        let resumed = State::named("Resumed").after(given.time("for")).signal(Signal::Cont);
        Ok(restarted(vec![suspended, resumed], RESUMED))
    },
};
