//! Reads simulation documents from files, and combines several into one.

use super::document::Simulation;
use super::error::{Mistake, SimulationError};
use super::settings::SettingsDocument;
use crate::config::json;
use crate::faults;
use crate::files::{self, Limit};
use std::path::{Path, PathBuf};

/// Where a simulation comes from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    /// Set by the builder.
    Given(Box<Simulation>),
}

/// The sources of a server with their content.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(super) sources: Vec<Source>,
    pub(super) contents: Vec<Content>,
    pub(super) simulation: Simulation,
}

/// The bytes of a file, or the text of the error of reading it; empty for a source without a file.
pub(super) type Content = Result<Vec<u8>, String>;

impl Loaded {
    /// Reads and combines all sources. This may block.
    pub(crate) fn load(sources: Vec<Source>) -> Result<Self, SimulationError> {
        let (contents, simulation) = load(&sources);
        Ok(Self { sources, contents, simulation: simulation? })
    }

    /// The settings of all sources.
    pub(crate) fn settings(&self) -> &SettingsDocument {
        &self.simulation.settings
    }
}

/// Reads all sources, and combines them.
pub(super) fn load(sources: &[Source]) -> (Vec<Content>, Result<Simulation, SimulationError>) {
    let read: Vec<_> = sources.iter().map(read).collect();
    let content = |read: &Result<Vec<u8>, SimulationError>| match read {
        Ok(bytes) => Ok(bytes.clone()),
        Err(error) => Err(error.to_string()),
    };
    let contents = read.iter().map(content).collect();
    (contents, combined(sources, read))
}

fn read(source: &Source) -> Result<Vec<u8>, SimulationError> {
    match source {
        Source::File(path) => {
            files::read(path, Limit::CONFIG).map_err(|error| SimulationError::Unreadable { path: path.clone(), error })
        }
        Source::Given(_) => Ok(Vec::new()),
    }
}

fn combined(sources: &[Source], read: Vec<Result<Vec<u8>, SimulationError>>) -> Result<Simulation, SimulationError> {
    let mut all = Simulation::default();
    let mut parsed: Vec<(String, Simulation)> = Vec::new();
    for (source, bytes) in sources.iter().zip(read) {
        let simulation = match source {
            Source::File(path) => parse(path, &bytes?)?,
            Source::Given(simulation) => simulation.as_ref().clone(),
        };
        let name = source.name();
        for (first, other) in &parsed {
            if let Some(what) = collision(other, &simulation) {
                return Err(SimulationError::Collision { what, first: first.clone(), other: name });
            }
        }
        all.extend(simulation.clone());
        parsed.push((name, simulation));
    }
    if all.faults.len() > faults::MAX_FAULTS {
        let detail = format!("a server has at most {} faults: remove some", faults::MAX_FAULTS);
        return Err(SimulationError::invalid("the simulation files", detail));
    }
    match all.wrong_runs().into_iter().next() {
        Some((run, mistake)) => Err(run.wrong(mistake)),
        None => Ok(all),
    }
}

/// Parses the content of a file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Simulation, SimulationError> {
    let document = json::parse(bytes).map_err(|error| SimulationError::not_json(path, error))?;
    let place = |mistake: &Mistake| {
        let (line, column) = mistake.locate(bytes, &document);
        let pointer = if mistake.pointer.is_empty() { "top level" } else { &mistake.pointer };
        format!("{}:{line}:{column}: at {pointer}", path.display())
    };
    let (mut simulation, mistakes) = Simulation::read(&document);
    if let Some(mistake) = mistakes.first() {
        return Err(SimulationError::invalid(place(mistake), &mistake.detail));
    }
    for run in &mut simulation.runs {
        run.place = place(&Mistake::new(run.place.clone(), ""));
    }
    Ok(simulation)
}

impl Source {
    /// The name in errors.
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Given(simulation) => simulation.name.clone().unwrap_or_else(|| "the builder".to_owned()),
        }
    }

    pub(super) fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Given(_) => None,
        }
    }
}

/// What two documents both define.
fn collision(first: &Simulation, other: &Simulation) -> Option<String> {
    let id = other.faults.iter().filter_map(faults::Definition::id);
    let mut ids = id.filter(|id| first.faults.iter().any(|fault| fault.id() == Some(id)));
    let mut names = other.scenarios.keys().filter(|name| first.scenarios.contains_key(*name));
    let setting = || first.settings.member_of_both(&other.settings).map(|name| format!("the setting {name}"));
    let scenario = names.next().map(|name| format!("the scenario {name}"));
    scenario.or_else(|| ids.next().map(|id| format!("the fault {id}"))).or_else(setting)
}

impl Simulation {
    fn extend(&mut self, other: Self) {
        self.faults.extend(other.faults);
        self.fault_documents.extend(other.fault_documents);
        self.scenarios.extend(other.scenarios);
        self.runs.extend(other.runs);
        self.settings.extend(other.settings);
    }
}
