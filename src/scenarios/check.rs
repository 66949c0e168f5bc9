//! Checks of scenarios and runs without a server, for simulation files.

use super::catalog::{Catalog, check_own_name};
use super::definition::Definition;
use super::effects::FaultPort;
use super::error::ScenarioError;
use super::facts::Facts;
use super::options::RunOptions;
use crate::faults;
use serde_json::Value;
use std::collections::BTreeMap;

impl Definition {
    /// Parses a definition with its faults, and checks its name; `pointer` is the place in the document.
    pub(crate) fn parse_named(name: &str, value: &Value, pointer: &str) -> Result<Self, ScenarioError> {
        check_own_name(name)?;
        let definition = Self::parse(value, pointer)?;
        definition.check_each_fault(pointer, |mapping| faults::Definition::parse(mapping, "").map(|_| ()))?;
        Ok(definition)
    }

    /// Checks the faults of all states.
    pub(super) fn check_faults(&self, pointer: &str, port: &dyn FaultPort) -> Result<(), ScenarioError> {
        self.check_each_fault(pointer, |mapping| port.check(mapping))
    }

    fn check_each_fault(
        &self,
        pointer: &str,
        check: impl Fn(&Value) -> Result<(), faults::FaultError>,
    ) -> Result<(), ScenarioError> {
        for (index, state) in self.states.iter().enumerate() {
            for (fault, mapping) in state.faults.iter().enumerate() {
                check(mapping).map_err(|refused| {
                    let pointer = format!("{pointer}/states/{index}/faults/{fault}{}", refused.pointer);
                    ScenarioError::invalid(pointer, refused.detail)
                })?;
            }
        }
        Ok(())
    }
}

/// Checks that a run names a built-in scenario or one of these, and that the scenario accepts its parameters.
pub(crate) fn check_run(
    own: &BTreeMap<String, Definition>,
    name: &str,
    options: &RunOptions,
) -> Result<(), ScenarioError> {
    Catalog::from(own.clone()).definition(name, &options.parameters, &Facts::unknown()).map(|_| ())
}
