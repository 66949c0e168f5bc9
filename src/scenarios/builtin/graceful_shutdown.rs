//! A graceful shutdown: `instance/shutdown-details/` announces it, and the machine is stopped when the time is over.
//!
//! The names and words are those of the Compute API's `ResourceStatusShutdownDetails`. The text of `max-duration` is not documented.

use super::super::definition::State;
use super::super::parameters::{Kind, Parameter};
use super::BuiltIn;
use super::power::{BOOTING, THEN, hard_off, soft_off, switched_off};
use serde_json::json;
use std::time::Duration;

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "graceful-shutdown",
    description: "A stop or deletion with a graceful shutdown: instance/shutdown-details/stop-state is PENDING_STOP, then STOPPING",
    parameters: &[
        Parameter {
            name: "duration",
            kind: Kind::Time { max: Duration::from_secs(3600) },
            default: "10m",
            description: "time for the graceful shutdown, up to 1h; a step ends it early",
        },
        Parameter::word("target", &["STOPPED", "DELETED"], "the state of the machine after the shutdown"),
        THEN,
        BOOTING,
    ],
    states: |given, _| {
        let duration = given.time("duration");
        let details = json!({
            "stopState": "PENDING_STOP", "targetState": given.word("target"),
            "maxDuration": duration.as_secs().to_string(), "requestTimestamp": "{{now}}",
        });
        let pending = State::named("Pending").patch(json!({"instance": {"shutdownDetails": details}}));
        let stopping = soft_off(duration).patch(json!({"instance": {"shutdownDetails": {"stopState": "STOPPING"}}}));
        Ok(switched_off(vec![pending, stopping, hard_off(Duration::from_secs(90))], given))
    },
};
