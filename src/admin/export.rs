//! `/__admin/export`: a document with which another server answers the same, except for tokens.

use super::call::{Call, Outcome, json};
use super::metadata::document;
use crate::scenarios::Definition;
use serde_json::{Map, Value, json};

/// The section of what is simulated.
const SIMULATION: &str = "simulation";

/// `GET`: the config document of the current metadata, and the scenarios that are not built in.
pub(super) async fn get(call: Call) -> Outcome {
    let mut exported = document(call.admin.vm.reader().snapshot().tree());
    let own = call.admin.scenarios.own();
    if !own.is_empty() {
        let scenarios: Map<_, _> = own.iter().map(|(name, it)| (name.clone(), Definition::json(it))).collect();
        exported[SIMULATION] = json!({"version": 1, "scenarios": Value::Object(scenarios)});
    }
    json(&exported)
}
