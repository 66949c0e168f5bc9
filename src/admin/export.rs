//! `/__admin/export`: a document with which another server answers the same, except for tokens.

use super::call::{Call, Outcome, json};
use super::metadata::document;
use crate::faults::Faults;
use crate::scenarios::Definition;
use serde_json::{Map, Value, json};

/// The section of what is simulated.
const SIMULATION: &str = "simulation";

/// `GET`: the config document of the current metadata, the faults, and the scenarios that are not built in.
pub(super) async fn get(call: Call) -> Outcome {
    let vm = &call.admin.vm;
    let mut exported = document(vm.reader().snapshot().tree());
    let mut simulation = Map::new();
    let faults = vm.faults().map(Faults::export).unwrap_or_default();
    if !faults.is_empty() {
        simulation.insert("faults".to_owned(), faults.into());
    }
    let own = call.admin.scenarios.own();
    if !own.is_empty() {
        let scenarios: Map<_, _> = own.iter().map(|(name, it)| (name.clone(), Definition::json(it))).collect();
        simulation.insert("scenarios".to_owned(), Value::Object(scenarios));
    }
    if !simulation.is_empty() {
        simulation.insert("version".to_owned(), json!(1));
        exported[SIMULATION] = Value::Object(simulation);
    }
    json(&exported)
}
