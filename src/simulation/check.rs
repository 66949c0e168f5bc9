//! The diagnostics of a simulation file for `check-config`.

use super::document::Simulation;
use super::error::Mistake;
use crate::config::json;
use crate::config::{Diagnostic, duplicate_keys_of};
use gce_metadata_routes::Severity;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A simulation file, for its diagnostics.
#[derive(Debug, Clone)]
pub struct SimulationFile {
    path: PathBuf,
}

impl SimulationFile {
    /// The simulation file at this path.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Whether this content is a simulation rather than a config: JSON that has a `version`, and no metadata.
    pub fn is_like(content: &[u8]) -> bool {
        json::parse(content).is_ok_and(|document| Simulation::is_like(&document))
    }

    /// All diagnostics of this content of the file, in the order of its lines.
    pub fn check_content(&self, content: &[u8]) -> Vec<Diagnostic> {
        let document = match json::parse(content) {
            Ok(document) => document,
            Err(error) => {
                let text = format!("{}: {}", error.place, error.problem);
                let column = error.column.max(1);
                return vec![diagnostic(&self.path, (error.line, column), Severity::Error, text)];
            }
        };
        let at = |severity, mistake: &Mistake| {
            let pointer = if mistake.pointer.is_empty() { "top level" } else { &mistake.pointer };
            let text = format!("{pointer}: {}", mistake.detail);
            diagnostic(&self.path, mistake.locate(content, &document), severity, text)
        };
        let (simulation, mistakes) = Simulation::read(&document);
        let mut found: Vec<_> = mistakes.iter().map(|mistake| at(Severity::Error, mistake)).collect();
        found.extend(simulation.wrong_runs().into_iter().map(|(run, mistake)| {
            // Another file may define the scenario.
            let severity = if mistake.pointer.is_empty() { Severity::Warning } else { Severity::Error };
            at(severity, &mistake.below(&run.place))
        }));
        found.extend(duplicate_keys_of(content).iter().map(|path| {
            let detail = "duplicate key, only the last value is used: remove one of them";
            at(Severity::Warning, &Mistake::new(pointer(path), detail))
        }));
        found.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        found
    }

    /// The JSON Schema (draft 2020-12) of a simulation file. It accepts what [`check_content`](Self::check_content) accepts without
    /// errors and warnings, except for what a schema can't say: names that must exist or differ, and values that depend on each other.
    pub fn json_schema() -> Value {
        super::schema::schema()
    }
}

fn diagnostic(path: &Path, (line, column): (usize, usize), severity: Severity, text: String) -> Diagnostic {
    Diagnostic { path: path.to_owned(), line, column, severity, text }
}

/// The JSON pointer of a path that has indices as `[0]`.
fn pointer(path: &[String]) -> String {
    path.iter().fold(String::new(), |pointer, key| {
        let index = key.strip_prefix('[').and_then(|key| key.strip_suffix(']'));
        crate::json_pointer::child(&pointer, index.unwrap_or(key))
    })
}
