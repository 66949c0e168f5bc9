//! A host maintenance of a machine that can't be migrated (`on-host-maintenance` TERMINATE): it is stopped and, usually, restarted.
//!
//! Google documents the announcement for machines with GPUs, 60 minutes ahead. On other machines the key stays NONE.

use super::super::definition::State;
use super::super::parameters::Parameter;
use super::BuiltIn;
use super::power::{BOOTING, hard_off, restarted, soft_off};
use crate::scenarios::definition::Definition;
use crate::server::NotReady;
use serde_json::json;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "host-termination",
    description: "The machine is stopped for a maintenance of its host, which instance/maintenance-event announces 60 min ahead on \
                  machines with GPUs",
    parameters: &[
        Parameter::flag("gpu", "true", "whether the machine has a GPU; without one, no key announces it"),
        Parameter::time("notice", "1h", "time between the announcement and the soft off"),
        Parameter::flag("restart", "true", "whether the machine starts again, as scheduling/automatic-restart says"),
        BOOTING,
    ],
    states: |given, _| {
        let mut states = Vec::new();
        let mut ahead = Duration::ZERO;
        if given.flag("gpu") {
            let patch = json!({"instance": {"maintenanceEvent": "TERMINATE_ON_HOST_MAINTENANCE"}});
            states.push(State::named("Announced").patch(patch));
            ahead = given.time("notice");
        }
        states.push(soft_off(ahead));
        states.push(hard_off(Duration::from_secs(90)).not_ready(NotReady::Refuse));
        match given.flag("restart") {
            true => Ok(restarted(states, given.time("boot"))),
            false => Ok(Definition { states, ..Definition::default() }),
        }
    },
};
