//! The definition of a scenario: its states in their order, and what a run puts back at its end.

use super::effects::reachable_json;
use super::signal::Signal;
use crate::server::NotReady;
use gce_metadata_routes::Tree;
use gce_metadata_support::duration;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The state of a scenario that does not run, as in WireMock.
pub(crate) const STARTED: &str = "Started";

/// A scenario: the states that a run enters one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Definition {
    pub(crate) description: String,
    pub(crate) states: Vec<State>,
    /// The time after the last state at which a run ends by itself. Without it, a run stays in its last state until it is stopped.
    pub(crate) end: Option<Duration>,
    /// The paths whose values stay when the run is over.
    pub(crate) keep: Vec<String>,
}

/// A state of a scenario.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) name: String,
    /// The time since the state before, or since the start.
    pub(crate) after: Duration,
    /// A merge patch of the tree.
    pub(crate) patch: Option<Value>,
    /// Stub mappings that are in force while the scenario is in this state.
    pub(crate) faults: Vec<Value>,
    /// A signal to the child of `exec` when the state is entered.
    pub(crate) signal: Option<Signal>,
    /// How the server treats its clients while the scenario is in this state; `None` if they reach it.
    pub(crate) not_ready: Option<NotReady>,
}

impl Definition {
    /// The times of the states since the start, and that of the end if there is one.
    pub(crate) fn offsets(&self) -> Vec<Duration> {
        let steps = self.states.iter().map(|state| state.after).chain(self.end);
        let sum = |total: &mut Duration, step| {
            *total = total.saturating_add(step);
            Some(*total)
        };
        steps.scan(Duration::ZERO, sum).collect()
    }

    /// The paths of all values that a run sets or removes.
    pub(crate) fn paths(&self) -> BTreeSet<String> {
        let patches = self.states.iter().filter_map(|state| state.patch.as_ref());
        patches.flat_map(Tree::parts_of_patch).map(|(path, _)| path).collect()
    }

    pub(crate) fn position(&self, state: &str) -> Option<usize> {
        self.states.iter().position(|it| it.name == state)
    }

    /// The names of the states, with that before the first.
    pub(crate) fn state_names(&self) -> Vec<&str> {
        std::iter::once(STARTED).chain(self.states.iter().map(|state| state.name.as_str())).collect()
    }

    /// The definition in JSON, as it is parsed.
    pub(crate) fn json(&self) -> Value {
        let mut json = Map::new();
        if !self.description.is_empty() {
            json.insert("description".to_owned(), self.description.clone().into());
        }
        json.insert("states".to_owned(), self.states.iter().map(State::json).collect());
        if let Some(end) = self.end {
            json.insert("end".to_owned(), duration::to_text(end).into());
        }
        if !self.keep.is_empty() {
            json.insert("keep".to_owned(), self.keep.clone().into());
        }
        json.into()
    }
}

impl State {
    pub(crate) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    pub(crate) fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    pub(crate) fn patch(self, patch: Value) -> Self {
        Self { patch: Some(patch), ..self }
    }

    pub(crate) fn fault(mut self, mapping: Value) -> Self {
        self.faults.push(mapping);
        self
    }

    pub(crate) fn signal(self, signal: Signal) -> Self {
        Self { signal: Some(signal), ..self }
    }

    pub(crate) fn not_ready(self, not_ready: NotReady) -> Self {
        Self { not_ready: Some(not_ready), ..self }
    }

    fn json(&self) -> Value {
        let mut json = json!({"state": self.name, "after": duration::to_text(self.after)});
        if let Some(patch) = &self.patch {
            json["patch"] = patch.clone();
        }
        if !self.faults.is_empty() {
            json["faults"] = self.faults.clone().into();
        }
        if let Some(signal) = self.signal {
            json["signal"] = signal.name().into();
        }
        if let Some(not_ready) = self.not_ready {
            json["reachable"] = reachable_json(not_ready);
        }
        json
    }
}
