//! A stop: the operating system has 90 seconds to shut down (30 on a Spot VM). No key announces it.

use super::super::parameters::Parameter;
use super::BuiltIn;
use super::power::{BOOTING, THEN, hard_off, soft_off, switched_off};
use std::time::Duration;

/// The time between the soft off and the hard off, as Google documents it for VMs other than Spot VMs.
pub(super) const GRACE: Parameter =
    Parameter::time("grace", "90s", "time between the soft off and the hard off; 30s on a Spot VM");

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "stop",
    description: "The machine is stopped: a soft off, and 90 s later it is off; no key announces it",
    parameters: &[GRACE, THEN, BOOTING],
    states: |given, _| Ok(switched_off(vec![soft_off(Duration::ZERO), hard_off(given.time("grace"))], given)),
};
