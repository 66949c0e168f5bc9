//! The end of many scenarios: the machine is switched off, softly and then hard.

use super::super::definition::{Definition, State};
use super::super::parameters::{Given, Parameter};
use super::super::signal::Signal;
use super::DRIFT_TOKEN;
use crate::server::NotReady;
use serde_json::json;
use std::time::Duration;

/// How long a machine takes to boot. GCE does not document it.
pub(super) const BOOT: &str = "10s";

/// What happens when the machine is off. By default the server stays reachable, because the program under test may run on without `exec`.
pub(super) const THEN: Parameter = Parameter::word(
    "then",
    &["stay", "stop", "restart"],
    "when the machine is off: the server stays reachable; or refuses connections; or refuses them for `boot` and starts again",
);

/// How long a restart takes.
pub(super) const BOOTING: Parameter = Parameter::time("boot", BOOT, "how long a restart takes");

/// The ACPI soft off (G2): the operating system ends its programs.
pub(super) fn soft_off(after: Duration) -> State {
    State::named("SoftOff").after(after).signal(Signal::Term)
}

/// The ACPI mechanical off (G3): the machine is off.
pub(super) fn hard_off(after: Duration) -> State {
    State::named("Off").after(after).signal(Signal::Kill)
}

/// The states, of which the last is the [`hard_off`], and what follows by the parameters [`THEN`] and [`BOOTING`].
pub(super) fn switched_off(mut states: Vec<State>, given: &Given) -> Definition {
    let then = given.word("then");
    if let Some(off) = states.last_mut().filter(|_| then != "stay") {
        off.not_ready = Some(NotReady::Refuse);
    }
    if then == "restart" {
        restarted(states, given.time("boot"))
    } else {
        Definition { states, ..Definition::default() }
    }
}

/// The states, and the start of the machine after the last one: a new drift token, all other values as before.
pub(super) fn restarted(mut states: Vec<State>, boot: Duration) -> Definition {
    if let Some(last) = states.last_mut() {
        last.patch = Some(json!({"instance": {"virtualClock": {"driftToken": "{{random}}"}}}));
    }
    Definition { states, end: Some(boot), keep: vec![DRIFT_TOKEN.to_owned()], ..Definition::default() }
}
