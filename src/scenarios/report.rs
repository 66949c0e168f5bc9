//! Scenarios, runs and their events in JSON, and the log lines of events.

use super::catalog::Catalog;
use super::definition::{Definition, STARTED};
use super::event::{EndReason, ScenarioEvent};
use super::run::Run;
use crate::events::{EventKind, Events};
use serde_json::{Value, json};
use tokio::time::Instant;

/// A scenario in the form of WireMock; with the time also its definition, its parameters and its run.
pub(super) fn scenario(name: &str, definition: &Definition, run: Option<&Run>, now: Option<Instant>) -> Value {
    let mut json = json!({
        "id": name,
        "name": name,
        "state": run.map_or(STARTED, Run::state),
        "possibleStates": definition.state_names(),
        "mappings": [],
    });
    if let Some(now) = now {
        let built_in = Catalog::built_in(name);
        json["builtIn"] = built_in.is_some().into();
        json["definition"] = definition.json();
        json["parameters"] = built_in.map(|built_in| built_in.parameters()).unwrap_or_default().into();
        json["run"] = run.map_or(Value::Null, |run| run.json(name, now));
    }
    json
}

/// A scenario that does not run, in the form of a run.
pub(super) fn no_run(name: &str) -> Value {
    json!({"scenario": name, "state": STARTED})
}

/// Reports an event to streams of the admin API.
pub(super) fn emit(events: &Events, event: &ScenarioEvent) {
    events.emit(EventKind::Scenario, || match event {
        ScenarioEvent::Started { scenario } => json!({"scenario": scenario, "event": "started"}),
        ScenarioEvent::Entered { scenario, state, signal } => {
            json!({"scenario": scenario, "event": "entered", "state": state, "signal": signal.map(|it| it.name())})
        }
        ScenarioEvent::Ended { scenario, reason, kept, signal } => {
            let mut json = json!({"scenario": scenario, "event": word(reason), "signal": signal.map(|it| it.name())});
            if let EndReason::Aborted(error) = reason {
                json["error"] = error.as_str().into();
            }
            if !kept.is_empty() {
                json["kept"] = kept.as_slice().into();
            }
            json
        }
    });
}

fn word(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Finished => "finished",
        EndReason::Stopped => "stopped",
        EndReason::Aborted(_) => "aborted",
    }
}

pub(super) fn log(event: &ScenarioEvent) {
    match event {
        ScenarioEvent::Started { scenario } => tracing::debug!(scenario, "a scenario runs"),
        ScenarioEvent::Entered { scenario, state, signal } => {
            let signal = signal.map(|signal| signal.name());
            tracing::info!(scenario, state, signal, "a scenario has entered a state");
        }
        ScenarioEvent::Ended { scenario, reason: EndReason::Aborted(error), .. } => {
            tracing::error!(scenario, "a scenario was aborted, because its next state can't be entered: {error}");
        }
        ScenarioEvent::Ended { scenario, reason, kept, .. } => {
            tracing::info!(scenario, "a scenario is over: {}", word(reason));
            for path in kept {
                tracing::warn!(scenario, path, "a value was changed during a scenario, and is not put back");
            }
        }
    }
}
