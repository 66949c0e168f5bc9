//! All scenarios by name: the built-in ones, those of the simulation file, and those that the admin API has added.

use super::builtin::{self, BuiltIn};
use super::definition::Definition;
use super::error::ScenarioError;
use super::facts::Facts;
use gce_metadata_routes::nearest;
use std::collections::BTreeMap;

/// The limit on the number of scenarios that are not built in.
const MAX_OWN: usize = 1000;

/// The limit on the length of a name, in bytes.
const MAX_NAME: usize = 100;

/// The scenarios of a server.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    own: BTreeMap<String, Definition>,
}

impl Catalog {
    /// The definition of a scenario with these parameters. Only built-in scenarios have parameters.
    pub(super) fn definition(
        &self,
        name: &str,
        given: &BTreeMap<String, String>,
        facts: &Facts<'_>,
    ) -> Result<Definition, ScenarioError> {
        if let Some(built_in) = builtin::named(name) {
            return built_in.definition(given, facts);
        }
        let definition = self.own.get(name).ok_or_else(|| self.unknown(name))?;
        match given.keys().next() {
            Some(parameter) => {
                let pointer = crate::json_pointer::child("/parameters", parameter);
                Err(ScenarioError::invalid(pointer, "only built-in scenarios have parameters"))
            }
            None => Ok(definition.clone()),
        }
    }

    /// Whether there is a scenario of this name.
    pub(super) fn check(&self, name: &str) -> Result<(), ScenarioError> {
        let is_known = builtin::named(name).is_some() || self.own.contains_key(name);
        if is_known { Ok(()) } else { Err(self.unknown(name)) }
    }

    /// Adds or replaces a scenario. Returns whether it is new.
    pub(super) fn define(&mut self, name: &str, definition: Definition) -> Result<bool, ScenarioError> {
        check_name(name)?;
        if builtin::named(name).is_some() {
            return Err(ScenarioError::BuiltIn { name: name.to_owned() });
        }
        if self.own.len() >= MAX_OWN && !self.own.contains_key(name) {
            return Err(ScenarioError::TooMany { limit: MAX_OWN });
        }
        Ok(self.own.insert(name.to_owned(), definition).is_none())
    }

    /// Removes a scenario.
    pub(super) fn remove(&mut self, name: &str) -> Result<(), ScenarioError> {
        if builtin::named(name).is_some() {
            return Err(ScenarioError::BuiltIn { name: name.to_owned() });
        }
        self.own.remove(name).map(|_| ()).ok_or_else(|| self.unknown(name))
    }

    /// Removes all scenarios that are not built in.
    pub(super) fn clear(&mut self) {
        self.own.clear();
    }

    /// The scenarios that are not built in.
    pub(super) fn own(&self) -> &BTreeMap<String, Definition> {
        &self.own
    }

    /// The names of all scenarios, in the order of their bytes.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            builtin::ALL.iter().map(|it| it.name).chain(self.own.keys().map(String::as_str)).collect();
        names.sort_unstable();
        names
    }

    pub(super) fn built_in(name: &str) -> Option<&'static BuiltIn> {
        builtin::named(name)
    }

    fn unknown(&self, name: &str) -> ScenarioError {
        let nearest = nearest(name, self.names()).map(str::to_owned);
        ScenarioError::Unknown { name: name.to_owned(), nearest }
    }
}

/// A name can be a part of a path and an option of the command line.
fn check_name(name: &str) -> Result<(), ScenarioError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    let detail = format!("the name of a scenario has 1 to {MAX_NAME} letters, digits, hyphens, underscores and dots");
    Err(ScenarioError::invalid("", detail))
}
