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
    /// Those of the simulation files, and those that were added or replaced at run time.
    own: BTreeMap<String, Definition>,
    /// Those of the simulation files, which a reset restores.
    baseline: BTreeMap<String, Definition>,
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
        check_own_name(name)?;
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

    /// Removes all scenarios that are not built in, and adds those of the simulation files again.
    pub(super) fn clear(&mut self) {
        self.own = self.baseline.clone();
    }

    /// Sets the scenarios of the simulation files. A change at run time stays, unless the files change the same scenario. Returns the names
    /// of the scenarios that are removed.
    pub(super) fn set_baseline(&mut self, new: BTreeMap<String, Definition>) -> Vec<String> {
        let old = std::mem::replace(&mut self.baseline, new);
        let new = &self.baseline;
        let changed = new.iter().filter(|(name, definition)| old.get(*name) != Some(definition));
        self.own.extend(changed.map(|(name, definition)| (name.clone(), definition.clone())));
        let removed = old.into_keys().filter(|name| !new.contains_key(name));
        removed.filter(|name| self.own.remove(name).is_some()).collect()
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

impl From<BTreeMap<String, Definition>> for Catalog {
    fn from(own: BTreeMap<String, Definition>) -> Self {
        Self { own, ..Self::default() }
    }
}

/// Checks the name of a scenario that is not built in.
pub(super) fn check_own_name(name: &str) -> Result<(), ScenarioError> {
    check_name(name)?;
    match builtin::named(name) {
        Some(_) => Err(ScenarioError::BuiltIn { name: name.to_owned() }),
        None => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenarios::definition::State;

    fn named(state: &str) -> Definition {
        Definition { states: vec![State::named(state)], ..Definition::default() }
    }

    fn of<const N: usize>(scenarios: [(&str, &str); N]) -> BTreeMap<String, Definition> {
        scenarios.into_iter().map(|(name, state)| (name.to_owned(), named(state))).collect()
    }

    #[test]
    fn a_scenario_of_run_time_stays_unless_the_files_change_the_same_one() {
        let mut catalog = Catalog::default();
        assert_eq!(catalog.set_baseline(of([("a", "1"), ("b", "1"), ("c", "1")])), Vec::<String>::new());
        catalog.define("a", named("edited")).unwrap();
        catalog.define("mine", named("1")).unwrap();
        catalog.remove("c").unwrap();
        assert_eq!(catalog.set_baseline(of([("a", "1"), ("c", "1")])), ["b"]);
        assert_eq!(*catalog.own(), of([("a", "edited"), ("mine", "1")]));
        catalog.set_baseline(of([("a", "2")]));
        assert_eq!(*catalog.own(), of([("a", "2"), ("mine", "1")]));
        catalog.clear();
        assert_eq!(*catalog.own(), of([("a", "2")]));
    }
}
