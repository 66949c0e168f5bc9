//! A host error: the machine hangs until GCE notices, and is restarted on another host.

use super::super::definition::State;
use super::super::parameters::{Kind, Parameter};
use super::super::signal::Signal;
use super::BuiltIn;
use super::power::{BOOTING, restarted};
use crate::server::NotReady;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "host-error",
    description: "The host fails: nothing answers until GCE notices, and the machine is restarted on another host",
    parameters: &[
        Parameter {
            name: "timeout",
            kind: Kind::Time { max: Duration::from_secs(330) },
            default: "330s",
            description: "time until GCE notices: hostErrorTimeoutSeconds, 90s to 330s on GCE",
        },
        BOOTING,
    ],
    states: |given, _| {
        let hung = State::named("Hung").not_ready(NotReady::Hang).signal(Signal::Stop);
        let restarting = State::named("Restarting").after(given.time("timeout")).signal(Signal::Kill);
        Ok(restarted(vec![hung, restarting.not_ready(NotReady::Refuse)], given.time("boot")))
    },
};
