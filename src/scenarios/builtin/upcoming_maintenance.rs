//! A planned maintenance: `instance/upcoming-maintenance` has its window, which the owner may move, and is removed when it is over.
//!
//! The members and words are those of AI Hypercomputer's documents and of Google's agent for SAP. The value after the end is what
//! `--without-maintenance` says.

use super::super::definition::{Definition, State};
use super::super::parameters::{Given, Parameter};
use super::BuiltIn;
use gce_metadata_support::duration::to_text;
use serde_json::{Value, json};
use std::time::Duration;

/// How long before the maintenance `maintenance-event` announces it on machines with GPUs.
const NOTICE: Duration = Duration::from_secs(3600);

pub(super) const SCENARIO: BuiltIn = BuiltIn {
    name: "upcoming-maintenance",
    description: "A maintenance is planned: instance/upcoming-maintenance has its window, is ONGOING in it, and is removed at its end",
    parameters: &[
        Parameter::word("type", &["SCHEDULED", "UNSCHEDULED"], "the type of the maintenance"),
        Parameter::time("window", "7d", "time until the window starts"),
        Parameter::time("length", "4h", "length of the window"),
        Parameter::flag("gpu", "false", "whether maintenance-event announces the maintenance too, 60 min ahead"),
        Parameter::time("reschedule", "", "when the owner moves the window, to `window` from then"),
        Parameter::time("perform", "", "when the owner starts the maintenance, before the window"),
        Parameter::time("cancel", "", "when the maintenance is cancelled"),
    ],
    states: |given, _| {
        let states = states(given);
        let over = states[states.len() - 1].0 + given.time("length");
        // A cancellation comes in place of all later states.
        let cancelled = given.time_if_set("cancel").filter(|at| *at < over);
        let end = cancelled.unwrap_or(over);
        let kept =
            states.into_iter().filter(|(at, _)| cancelled.is_none_or(|cancelled| *at < cancelled || at.is_zero()));
        let (mut before, mut timed) = (Duration::ZERO, Vec::new());
        for (at, state) in kept {
            timed.push(state.after(at.saturating_sub(before)));
            before = at;
        }
        Ok(Definition { states: timed, end: Some(end.saturating_sub(before)), ..Definition::default() })
    },
};

/// The states with their times since the start.
fn states(given: &Given) -> Vec<(Duration, State)> {
    let (window, mut start) = (given.time("window"), given.time("window"));
    let mut states = vec![(Duration::ZERO, State::named("Scheduled").patch(planned(given, window)))];
    // The owner can't move a window that has begun.
    if let Some(at) = given.time_if_set("reschedule").filter(|at| *at < start) {
        start = at + window;
        states.push((at, State::named("Rescheduled").patch(planned(given, window))));
    }
    if let Some(at) = given.time_if_set("perform").filter(|at| *at < start) {
        start = at;
        states.retain(|(at, _)| *at < start || at.is_zero());
    }
    let last = states[states.len() - 1].0;
    if given.flag("gpu") {
        let patch = json!({"instance": {"maintenanceEvent": "TERMINATE_ON_HOST_MAINTENANCE"}});
        states.push((start.saturating_sub(NOTICE).max(last), State::named("Announced").patch(patch)));
    }
    let ongoing = json!({"maintenance_status": "ONGOING", "can_reschedule": "false"});
    states.push((start, State::named("Ongoing").patch(json!({"instance": {"upcomingMaintenance": ongoing}}))));
    states
}

/// A window that starts this time from now.
fn planned(given: &Given, window: Duration) -> Value {
    let later = |time| format!("{{{{now+{}}}}}", to_text(time));
    json!({"instance": {"upcomingMaintenance": {
        "can_reschedule": "true",
        "latest_window_start_time": later(window),
        "maintenance_reasons": ["PLANNED_UPDATE", "PLANNED_NETWORK_UPDATE"],
        "maintenance_status": "PENDING",
        "type": given.word("type"),
        "window_end_time": later(window + given.time("length")),
        "window_start_time": later(window),
    }}})
}
