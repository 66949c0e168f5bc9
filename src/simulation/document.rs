//! The simulation document: `{"version": 1, "faults": [], "scenarios": {}, "run": [], "settings": {}}`.

use super::error::{Mistake, SimulationError};
use super::settings::SettingsDocument;
use crate::faults;
use crate::json_pointer::child;
use crate::scenarios::{self, RunOptions};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The only version of the document.
const VERSION: u64 = 1;

/// The member of an exported document that has the simulation.
const EXPORTED: &str = "simulation";

/// What a server simulates from its start on, for [`ServerBuilder::simulation`](crate::ServerBuilder::simulation).
///
/// ```
/// use gce_metadata_server::Simulation;
/// use serde_json::json;
///
/// let document = json!({"version": 1, "faults": [{"instructions": ["return-503"]}]});
/// assert!(Simulation::from_json(&document).is_ok());
/// let wrong = json!({"version": 1, "faults": [{"instructions": ["return"]}]});
/// let error = Simulation::from_json(&wrong).unwrap_err().to_string();
/// assert!(error.starts_with("/faults/0/instructions/0: expected return-STATUS"), "{error}");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Simulation {
    /// The name in errors; `None` for a file.
    pub(super) name: Option<String>,
    pub(super) faults: Vec<faults::Definition>,
    /// The documents of the faults, by which changed ones are noticed.
    pub(super) fault_documents: Vec<Value>,
    pub(super) scenarios: BTreeMap<String, scenarios::Definition>,
    pub(super) runs: Vec<PlannedRun>,
    pub(super) settings: SettingsDocument,
}

/// A run that starts with the server.
#[derive(Debug, Clone)]
pub(super) struct PlannedRun {
    /// The place in the document, or the name of the simulation, for errors.
    pub(super) place: String,
    /// Whether the place is a name.
    is_named: bool,
    pub(super) scenario: String,
    pub(super) options: RunOptions,
}

impl Simulation {
    /// Parses a document.
    ///
    /// # Errors
    /// If a member can't be used. The error has its JSON pointer.
    pub fn from_json(document: &Value) -> Result<Self, SimulationError> {
        let (simulation, mistakes) = Self::read(document);
        match mistakes.into_iter().next() {
            None => Ok(simulation),
            Some(Mistake { pointer, detail }) => {
                let place = if pointer.is_empty() { "the document" } else { &pointer };
                Err(SimulationError::invalid(place, detail))
            }
        }
    }

    /// Names the simulation in errors of a start, such as by the option that it comes from.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        for run in &mut self.runs {
            (run.place, run.is_named) = (name.clone(), true);
        }
        Self { name: Some(name), ..self }
    }

    /// Whether a document is a simulation rather than a config: it has a version, and no metadata.
    pub(super) fn is_like(document: &Value) -> bool {
        let has = |name| document.get(name).is_some();
        has("version") && !["computeMetadata", "instance", "project"].into_iter().any(has)
    }

    /// Reads what can be used, with all mistakes in the order of the members. An exported document has the simulation in a member.
    pub(super) fn read(document: &Value) -> (Self, Vec<Mistake>) {
        match document.get(EXPORTED) {
            Some(exported) if document.get("computeMetadata").is_some() => {
                Self::read_at(exported, &child("", EXPORTED))
            }
            _ => Self::read_at(document, ""),
        }
    }

    fn read_at(document: &Value, pointer: &str) -> (Self, Vec<Mistake>) {
        let (mut simulation, mut mistakes) = (Self::default(), Vec::new());
        let Value::Object(members) = document else {
            return (simulation, vec![Mistake::new(pointer, "an object is expected")]);
        };
        if !members.contains_key("version") {
            mistakes.push(Mistake::new(pointer, "`version` is missing: add \"version\": 1"));
        }
        for (name, value) in members {
            let pointer = child(pointer, name);
            match name.as_str() {
                "$schema" => {}
                "version" if value.as_u64() == Some(VERSION) => {}
                "version" => mistakes.push(Mistake::new(pointer, format!("the only version is {VERSION}"))),
                "faults" => simulation.read_faults(value, &pointer, &mut mistakes),
                "scenarios" => simulation.read_scenarios(value, &pointer, &mut mistakes),
                "run" => simulation.read_runs(value, &pointer, &mut mistakes),
                "settings" => match SettingsDocument::parse(value, &pointer) {
                    Ok(settings) => simulation.settings = settings,
                    Err(mistake) => mistakes.push(mistake),
                },
                _ => {
                    let detail = "no such member: expected version, faults, scenarios, run or settings";
                    mistakes.push(Mistake::new(pointer, detail));
                }
            }
        }
        (simulation, mistakes)
    }

    fn read_faults(&mut self, value: &Value, pointer: &str, mistakes: &mut Vec<Mistake>) {
        for (item, pointer) in items(value, pointer, mistakes) {
            match faults::Definition::parse(item, &pointer) {
                Ok(fault) if fault.id().is_some_and(|id| self.faults.iter().any(|other| other.id() == Some(id))) => {
                    mistakes.push(Mistake::new(child(&pointer, "id"), "another fault has this id"));
                }
                Ok(fault) => {
                    self.faults.push(fault);
                    self.fault_documents.push(item.clone());
                }
                Err(error) => mistakes.push(error.into()),
            }
        }
    }

    fn read_scenarios(&mut self, value: &Value, pointer: &str, mistakes: &mut Vec<Mistake>) {
        let Value::Object(members) = value else {
            mistakes.push(Mistake::new(pointer, "an object of scenarios by their names is expected"));
            return;
        };
        for (name, value) in members {
            let pointer = child(pointer, name);
            match scenarios::Definition::parse_named(name, value, &pointer) {
                Ok(definition) => _ = self.scenarios.insert(name.clone(), definition),
                Err(error) => {
                    let mistake = Mistake::from(error);
                    let is_placed = !mistake.pointer.is_empty();
                    mistakes.push(if is_placed { mistake } else { mistake.below(&pointer) });
                }
            }
        }
    }

    fn read_runs(&mut self, value: &Value, pointer: &str, mistakes: &mut Vec<Mistake>) {
        for (item, pointer) in items(value, pointer, mistakes) {
            match planned_run(item, &pointer) {
                Ok(run) => self.runs.push(run),
                Err(mistake) => mistakes.push(mistake),
            }
        }
    }

    /// The runs whose scenario is unknown or does not accept the parameters, with the mistake of each.
    pub(super) fn wrong_runs(&self) -> Vec<(&PlannedRun, Mistake)> {
        let check = |run: &PlannedRun| scenarios::check_run(&self.scenarios, &run.scenario, &run.options).err();
        self.runs.iter().filter_map(|run| Some((run, check(run)?.into()))).collect()
    }
}

impl PlannedRun {
    /// The error for a mistake in this run.
    pub(super) fn wrong(&self, Mistake { pointer, detail }: Mistake) -> SimulationError {
        let place = match (self.is_named, pointer.trim_start_matches("/parameters/")) {
            (true, "") => self.place.clone(),
            (true, parameter) => format!("{}: {parameter}", self.place),
            (false, _) => format!("{}{pointer}", self.place),
        };
        SimulationError::invalid(place, detail)
    }
}

/// The items of a list, with their pointers.
fn items<'a>(value: &'a Value, pointer: &str, mistakes: &mut Vec<Mistake>) -> Vec<(&'a Value, String)> {
    let Value::Array(items) = value else {
        mistakes.push(Mistake::new(pointer, "a list is expected"));
        return Vec::new();
    };
    items.iter().enumerate().map(|(index, item)| (item, child(pointer, &index.to_string()))).collect()
}

/// A run: the name of the scenario, beside the options of the admin API's `run`.
fn planned_run(value: &Value, pointer: &str) -> Result<PlannedRun, Mistake> {
    let Value::Object(members) = value else { return Err(Mistake::new(pointer, "an object is expected")) };
    let mut options: Map<String, Value> = members.clone();
    let scenario = match options.remove("scenario") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(Mistake::new(child(pointer, "scenario"), "the name of a scenario is expected")),
        None => return Err(Mistake::new(pointer, "`scenario` is missing: it names the scenario to run")),
    };
    let options = RunOptions::parse(&Value::Object(options), pointer)?;
    Ok(PlannedRun { place: pointer.to_owned(), is_named: false, scenario, options })
}
