//! `/__admin/scenarios`: WireMock's list, reset and state; runs of scenarios, and definitions of one's own.

use super::call::{Call, JSON, Outcome, empty, json, with_type};
use super::problem::Problem;
use crate::scenarios::{Definition, RunOptions, ScenarioError};
use gce_metadata_support::duration;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// The state of WireMock's `PUT`; none resets the scenario.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateDocument {
    #[serde(default)]
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceDocument {
    by: Value,
}

/// `GET /__admin/scenarios`. Only the members that WireMock has, because its clients refuse others, unless details are asked for.
pub(super) async fn list(call: Call) -> Outcome {
    json(&json!({"scenarios": call.admin.scenarios.list(call.flag("details")?)}))
}

/// `POST /__admin/scenarios/reset`: ends all runs.
pub(super) async fn reset(call: Call) -> Outcome {
    call.admin.scenarios.reset();
    call.admin.scenarios.settled().await;
    json(&json!({}))
}

/// `GET /__admin/scenarios/NAME`: the definition, the parameters and the run.
pub(super) async fn get(call: Call) -> Outcome {
    json(&call.admin.scenarios.get(&call.parameter)?)
}

/// `PUT /__admin/scenarios/NAME`: adds or replaces a definition.
pub(super) async fn put(call: Call) -> Outcome {
    let definition = Definition::parse(&call.value()?, "")?;
    let is_new = call.admin.scenarios.define(&call.parameter, definition)?;
    Ok(empty(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
}

/// `DELETE /__admin/scenarios/NAME`: removes a definition, and ends its run.
pub(super) async fn delete(call: Call) -> Outcome {
    call.admin.scenarios.remove(&call.parameter)?;
    call.admin.scenarios.settled().await;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// `PUT /__admin/scenarios/NAME/state`: WireMock's.
pub(super) async fn put_state(call: Call) -> Outcome {
    let state = if call.body.is_empty() { None } else { call.json::<StateDocument>()?.state };
    call.admin.scenarios.set_state(&call.parameter, &state.unwrap_or_default())?;
    call.admin.scenarios.settled().await;
    json(&json!({}))
}

/// `POST /__admin/scenarios/NAME/run`: 202 with the run.
pub(super) async fn run(call: Call) -> Outcome {
    let options = RunOptions::parse(&call.value()?, "")?;
    let (_, run) = call.admin.scenarios.run(&call.parameter, &options)?;
    call.admin.scenarios.settled().await;
    Ok(with_type(StatusCode::ACCEPTED, JSON, run.to_string()))
}

/// `POST /__admin/scenarios/NAME/stop`. Does nothing if the scenario does not run.
pub(super) async fn stop(call: Call) -> Outcome {
    let stopped = call.admin.scenarios.stop(&call.parameter, None)?;
    call.admin.scenarios.settled().await;
    json(&json!({"stopped": stopped}))
}

/// `POST /__admin/scenarios/NAME/step`: enters the next state.
pub(super) async fn step(call: Call) -> Outcome {
    let run = call.admin.scenarios.step(&call.parameter, None)?;
    call.admin.scenarios.settled().await;
    json(&run)
}

/// `POST /__admin/scenarios/NAME/advance`: moves the run ahead by a duration.
pub(super) async fn advance(call: Call) -> Outcome {
    let AdvanceDocument { by } = call.json()?;
    let by = match &by {
        Value::String(text) => duration::parse(text),
        _ => by.as_u64().map(Duration::from_secs),
    };
    let by = by.ok_or_else(|| Problem::unprocessable(duration::EXPECTED).at("/by"))?;
    let run = call.admin.scenarios.advance(&call.parameter, None, by)?;
    call.admin.scenarios.settled().await;
    json(&run)
}

impl From<ScenarioError> for Problem {
    fn from(error: ScenarioError) -> Self {
        let status = match &error {
            ScenarioError::Unknown { .. } => StatusCode::NOT_FOUND,
            ScenarioError::Invalid { pointer, detail } => {
                let problem = Self::unprocessable(detail);
                return if pointer.is_empty() { problem } else { problem.at(pointer) };
            }
            ScenarioError::TooMany { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ScenarioError::Running { .. }
            | ScenarioError::Conflict { .. }
            | ScenarioError::NotRunning { .. }
            | ScenarioError::BuiltIn { .. } => StatusCode::CONFLICT,
        };
        Self::new(status, error.to_string())
    }
}
