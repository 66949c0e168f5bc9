//! What happens in runs, as subscribers see it.

use super::signal::Signal;

/// An event of a run. `exec` sends its signals to its child.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScenarioEvent {
    /// A run was started. It may wait for its first state.
    Started {
        /// The scenario.
        scenario: String,
    },
    /// The metadata of a state was published.
    Entered {
        /// The scenario.
        scenario: String,
        /// The state.
        state: String,
        /// A signal to the child of `exec`.
        signal: Option<Signal>,
    },
    /// A run is over, and its values were put back.
    Ended {
        /// The scenario.
        scenario: String,
        /// Why it is over.
        reason: EndReason,
        /// The paths of values that another writer has changed meanwhile, and that stay.
        kept: Vec<String>,
        /// `CONT` if the run has stopped the child of `exec`.
        signal: Option<Signal>,
    },
}

/// Why a run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// Its timeline has ended.
    Finished,
    /// It was stopped or reset.
    Stopped,
    /// A state could not be entered, for this reason.
    Aborted(String),
}

impl ScenarioEvent {
    /// The signal to the child of `exec`.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            Self::Started { .. } => None,
            Self::Entered { signal, .. } | Self::Ended { signal, .. } => *signal,
        }
    }
}
