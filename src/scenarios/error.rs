//! Errors of scenarios.

use gce_metadata_support::duration;

/// Why a scenario can't be defined or run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// There is no scenario of this name.
    #[error("there is no scenario {name:?}: {}", did_you_mean(nearest.as_deref()))]
    Unknown {
        /// The name.
        name: String,
        /// The name of a scenario that is spelled similarly.
        nearest: Option<String>,
    },
    /// A member of a definition or of the parameters of a run is wrong.
    #[error("{}{detail}", place(pointer))]
    Invalid {
        /// JSON pointer of the member.
        pointer: String,
        /// What is wrong, and what is expected.
        detail: String,
    },
    /// The scenario runs already.
    #[error("the scenario {name} runs already: stop it, or wait for its end")]
    Running {
        /// The name.
        name: String,
    },
    /// Another run changes the same value.
    #[error("the scenario {other}, which is running, changes {path} too: stop it, or wait for its end")]
    Conflict {
        /// The path of the value.
        path: String,
        /// The scenario that is running.
        other: String,
    },
    /// The run is over, or the scenario does not run.
    #[error("the scenario {name} does not run")]
    NotRunning {
        /// The name.
        name: String,
    },
    /// A built-in scenario can't be replaced or removed.
    #[error("{name} is a built-in scenario, which can't be replaced or removed: choose another name")]
    BuiltIn {
        /// The name.
        name: String,
    },
    /// There are too many scenarios.
    #[error("there are {limit} scenarios of your own, which is the limit: delete one")]
    TooMany {
        /// The limit.
        limit: usize,
    },
}

impl ScenarioError {
    pub(crate) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { pointer: pointer.into(), detail: detail.into() }
    }

    /// A member is no duration.
    pub(super) fn no_duration(pointer: impl Into<String>) -> Self {
        Self::invalid(pointer, duration::EXPECTED)
    }
}

fn place(pointer: &str) -> String {
    if pointer.is_empty() { String::new() } else { format!("{pointer}: ") }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(|| "GET /__admin/scenarios lists all".to_owned(), |nearest| format!("did you mean {nearest}?"))
}
