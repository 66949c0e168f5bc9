//! A live migration: `instance/maintenance-event` announces it 60 seconds ahead, and the drift token is new after it.
//!
//! Google documents the announcement, the order of the values, and answers 503 of under a second. How long the value stays is not
//! documented: samples show half an hour.

use super::super::definition::{Definition, State};
use super::super::parameters::Parameter;
use super::mds_blip::{UNAVAILABLE, unavailable};
use super::{BuiltIn, DRIFT_TOKEN};
use serde_json::json;
use std::time::Duration;

/// The time between the announcement and the migration.
const NOTICE: Duration = Duration::from_secs(60);

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "live-migration",
    description: "The machine moves to another host: instance/maintenance-event is MIGRATE_ON_HOST_MAINTENANCE, and the drift token is new",
    parameters: &[
        Parameter::time("for", "30s", "time from the migration until maintenance-event is NONE again"),
        Parameter::flag(
            "strict",
            "false",
            "announce nothing ahead unless maintenance-event was asked since the last event, as GCE does",
        ),
        Parameter::flag("blip", "false", "answer 503 for 800 ms during the migration"),
    ],
    states: |given, facts| {
        let is_announced = !given.flag("strict") || facts.maintenance_was_asked()?;
        let migrate = json!({"instance": {"maintenanceEvent": "MIGRATE_ON_HOST_MAINTENANCE"}});
        let mut states = vec![State::named("Announced").patch(migrate)];
        let mut ahead = if is_announced { NOTICE } else { Duration::ZERO };
        if given.flag("blip") {
            states.push(State::named("Unavailable").after(ahead).fault(unavailable()));
            ahead = UNAVAILABLE;
        }
        let token = json!({"instance": {"virtualClock": {"driftToken": "{{random}}"}}});
        states.push(State::named("Migrated").after(ahead).patch(token));
        Ok(Definition {
            states,
            end: Some(given.time("for")),
            keep: vec![DRIFT_TOKEN.to_owned()],
            ..Definition::default()
        })
    },
};
