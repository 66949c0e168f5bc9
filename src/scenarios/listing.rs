//! Definitions and lists of scenarios, and the states of runs, for the admin API and the library.

use super::definition::{Definition, STARTED};
use super::engine::{Scenarios, State};
use super::error::ScenarioError;
use super::event::EndReason;
use super::options::RunOptions;
use super::report;
use serde_json::Value;
use std::collections::BTreeMap;

impl Scenarios {
    /// Adds or replaces a scenario. Returns whether it is new. A run goes on with the old definition.
    pub(crate) fn define(&self, name: &str, definition: Definition) -> Result<bool, ScenarioError> {
        for (index, state) in definition.states.iter().enumerate() {
            for (fault, mapping) in state.faults.iter().enumerate() {
                self.0.ports.faults.check(mapping).map_err(|refused| {
                    let pointer = format!("/states/{index}/faults/{fault}{}", refused.pointer);
                    ScenarioError::invalid(pointer, refused.detail)
                })?;
            }
        }
        self.lock().catalog.define(name, definition)
    }

    /// Removes a scenario that is not built in, and ends its run.
    pub(crate) fn remove(&self, name: &str) -> Result<(), ScenarioError> {
        let mut state = self.lock();
        state.catalog.remove(name)?;
        self.finish(&mut state, name, EndReason::Stopped);
        Ok(())
    }

    /// The definitions of the scenarios that are not built in.
    pub(crate) fn own(&self) -> BTreeMap<String, Definition> {
        self.lock().catalog.own().clone()
    }

    /// All scenarios in the form of WireMock; with `details` also their definitions, parameters and runs.
    pub(crate) fn list(&self, details: bool) -> Vec<Value> {
        let state = self.lock();
        let names = state.catalog.names().into_iter();
        names.filter_map(|name| self.described(&state, name, details).ok()).collect()
    }

    /// A scenario with its definition, parameters and run.
    pub(crate) fn get(&self, name: &str) -> Result<Value, ScenarioError> {
        self.described(&self.lock(), name, true)
    }

    /// The state of a run; `Started` if it is over.
    pub(super) fn state_of(&self, name: &str, number: u64) -> String {
        self.lock().run_mut(name, Some(number)).map_or(STARTED, |run| run.state()).to_owned()
    }

    /// Whether time brings no more states to a run, because it is over or stays in its last state.
    pub(super) fn is_settled(&self, name: &str, number: u64) -> bool {
        self.lock().run_mut(name, Some(number)).map_or(true, |run| run.next_offset().is_none())
    }

    fn described(&self, state: &State, name: &str, details: bool) -> Result<Value, ScenarioError> {
        let run = state.runs.get(name);
        let definition = match run {
            Some(run) => run.definition.clone(),
            None => state.definition(name, &RunOptions::default(), None)?,
        };
        Ok(report::scenario(name, &definition, run, details.then(|| self.now())))
    }
}
