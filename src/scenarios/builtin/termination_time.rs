//! The end of a limited run time (`max-run-duration` or a termination time): as a stop, up to 30 seconds late.
//!
//! No key announces it, and `instance/preempted` stays FALSE: the times are in the Compute API only.

use super::super::parameters::{Kind, Parameter};
use super::BuiltIn;
use super::power::{BOOTING, THEN, hard_off, soft_off, switched_off};
use super::stop::GRACE;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "termination-time",
    description: "The run time of the machine is over: a soft off up to 30 s late, and 90 s later it is off; no key announces it",
    parameters: &[
        Parameter {
            name: "late",
            kind: Kind::Time { max: Duration::from_secs(30) },
            default: "0s",
            description: "how late GCE stops the machine, up to 30s",
        },
        GRACE,
        THEN,
        BOOTING,
    ],
    states: |given, _| Ok(switched_off(vec![soft_off(given.time("late")), hard_off(given.time("grace"))], given)),
};
