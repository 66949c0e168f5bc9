//! The preemption of a Spot VM: `instance/preempted` becomes TRUE, and 30 seconds after the soft off the machine is off.
//!
//! Google documents it for Spot VMs, with a notice of 120 seconds since 2026. `maintenance-event` and `shutdown-details/` do not change:
//! karpenter-provider-gcp #295 observed a real preemption.

use super::super::definition::State;
use super::super::parameters::Parameter;
use super::super::signal::Signal;
use super::BuiltIn;
use super::power::{BOOTING, THEN, hard_off, soft_off, switched_off};
use serde_json::json;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "preemption",
    description: "A Spot VM is preempted: instance/preempted becomes TRUE, and 30 s after the soft off the machine is off",
    parameters: &[
        Parameter::word("notice", &["0", "120"], "seconds between the notice and the soft off"),
        THEN,
        BOOTING,
    ],
    states: |given, _| {
        let preempted = State::named("Preempted").patch(json!({"instance": {"preempted": "TRUE"}}));
        let (grace, notice) = (Duration::from_secs(30), Duration::from_secs(120));
        let states = match given.word("notice") {
            "120" => vec![preempted, soft_off(notice), hard_off(grace)],
            _ => vec![preempted.signal(Signal::Term), hard_off(grace)],
        };
        Ok(switched_off(states, given))
    },
};
