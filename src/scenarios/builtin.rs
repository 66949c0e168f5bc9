//! The built-in scenarios: what Google Compute Engine does to a machine, each in a file with its timeline.
//!
//! `docs/scenarios.md` says for each state how sure it is: documented by Google, observed, or chosen here.

mod delete;
mod graceful_shutdown;
mod host_error;
mod host_termination;
mod live_migration;
mod mds_blip;
mod mds_slow_start;
mod power;
mod preemption;
mod reset;
mod stop;
mod suspend_resume;
mod termination_time;
mod token_outage;
mod token_throttle;
mod upcoming_maintenance;

#[cfg(test)]
mod tests;

use super::definition::Definition;
use super::error::ScenarioError;
use super::facts::Facts;
use super::parameters::{Given, Parameter};
use serde_json::Value;
use std::collections::BTreeMap;

/// All built-in scenarios.
pub(super) const ALL: &[BuiltIn] = &[
    delete::SCENARIO,
    graceful_shutdown::SCENARIO,
    host_error::SCENARIO,
    host_termination::SCENARIO,
    live_migration::SCENARIO,
    mds_blip::SCENARIO,
    mds_slow_start::SCENARIO,
    preemption::SCENARIO,
    reset::SCENARIO,
    stop::SCENARIO,
    suspend_resume::SCENARIO,
    termination_time::SCENARIO,
    token_outage::SCENARIO,
    token_throttle::SCENARIO,
    upcoming_maintenance::SCENARIO,
];

/// A key that a real machine changes when it is migrated or started again. Programs set their clock when it changes.
const DRIFT_TOKEN: &str = "instance/virtual-clock/drift-token";

/// A scenario whose states depend on its parameters.
#[derive(Debug)]
pub(super) struct BuiltIn {
    pub(super) name: &'static str,
    description: &'static str,
    parameters: &'static [Parameter],
    states: fn(&Given, &Facts<'_>) -> Result<Definition, ScenarioError>,
}

impl BuiltIn {
    /// The definition with these parameters.
    pub(super) fn definition(
        &self,
        given: &BTreeMap<String, String>,
        facts: &Facts<'_>,
    ) -> Result<Definition, ScenarioError> {
        let definition = (self.states)(&Given::check(self.parameters, given)?, facts)?;
        Ok(Definition { description: self.description.to_owned(), ..definition })
    }

    /// The parameters in JSON.
    pub(super) fn parameters(&self) -> Vec<Value> {
        self.parameters.iter().map(Parameter::json).collect()
    }
}

pub(super) fn named(name: &str) -> Option<&'static BuiltIn> {
    ALL.iter().find(|scenario| scenario.name == name)
}
