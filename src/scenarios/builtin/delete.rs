//! A deletion: as a stop, and the machine does not come back.

use super::super::parameters::Parameter;
use super::BuiltIn;
use super::power::{hard_off, soft_off, switched_off};
use super::stop::GRACE;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "delete",
    description: "The machine is deleted: a soft off, and 90 s later it is gone; no key announces it",
    parameters: &[
        GRACE,
        Parameter::word(
            "then",
            &["stay", "stop"],
            "when the machine is gone: the server stays reachable, or refuses connections",
        ),
    ],
    states: |given, _| Ok(switched_off(vec![soft_off(Duration::ZERO), hard_off(given.time("grace"))], given)),
};
