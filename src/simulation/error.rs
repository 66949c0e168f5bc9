//! Errors of simulation documents and of their files.

use crate::config::ConfigError;
use crate::config::json::{self, JsonError};
use crate::faults::FaultError;
use crate::scenarios::ScenarioError;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// A member of a document that can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// JSON pointer of the member; empty for the whole document.
    pub(crate) pointer: String,
    /// What is wrong, and what is expected.
    pub(crate) detail: String,
}

impl Mistake {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// The mistake in a document that is a part of another one.
    pub(crate) fn below(self, pointer: &str) -> Self {
        Self { pointer: format!("{pointer}{}", self.pointer), ..self }
    }

    /// Line and column, counted from 1, of the member in the text of the document; of the nearest member above it if it is missing.
    pub(super) fn locate(&self, bytes: &[u8], document: &Value) -> (usize, usize) {
        json::locate(bytes, &path(document, &self.pointer))
    }
}

/// The path of the last existing member of a pointer, as the config's errors have it: keys, and indices as `[0]`.
fn path(document: &Value, pointer: &str) -> Vec<String> {
    let mut path = Vec::new();
    let mut value = document;
    for key in pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")) {
        let (below, key) = match value {
            Value::Array(items) => (key.parse().ok().and_then(|index: usize| items.get(index)), format!("[{key}]")),
            value => (value.get(&key), key),
        };
        let Some(below) = below else { break };
        value = below;
        path.push(key);
    }
    path
}

impl From<FaultError> for Mistake {
    fn from(error: FaultError) -> Self {
        Self { pointer: error.pointer, detail: error.detail }
    }
}

impl From<ScenarioError> for Mistake {
    fn from(error: ScenarioError) -> Self {
        match error {
            ScenarioError::Invalid { pointer, detail } => Self { pointer, detail },
            other => Self::new("", other.to_string()),
        }
    }
}

/// Why a simulation can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// A file can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A file is not JSON.
    #[error("{}:{line}:{column}: at {place}: {problem}", path.display())]
    NotJson {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// Path in the JSON: keys, and indices as `[0]`.
        place: String,
        /// The problem.
        problem: String,
    },
    /// A member of a document can't be used.
    #[error("{place}: {detail}")]
    Invalid {
        /// The file with line and column, and the JSON pointer of the member; only the pointer for a document without a file.
        place: String,
        /// What is wrong, and what is expected.
        detail: String,
    },
    /// Two documents have the same name.
    #[error("{other}: {what} is in {first} too: rename or remove one of them")]
    Collision {
        /// What both have, such as a scenario and its name.
        what: String,
        /// The first document.
        first: String,
        /// The second document.
        other: String,
    },
}

impl SimulationError {
    pub(super) fn not_json(path: &Path, error: JsonError) -> Self {
        let JsonError { line, column, place, problem } = error;
        Self::NotJson { path: path.to_owned(), line, column, place, problem }
    }

    pub(super) fn invalid(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { place: place.into(), detail: detail.into() }
    }
}

/// Why the files of a server can't be reloaded. What they said before stays in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The config file can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A simulation file can't be used.
    #[error(transparent)]
    Simulation(#[from] SimulationError),
}
