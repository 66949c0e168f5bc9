//! One run of a scenario: the states that it has entered, and what it has changed.

use super::definition::{Definition, STARTED};
use super::effects::{FaultGuard, FaultPort};
use super::placeholders::expanded;
use super::signal::Signal;
use super::timeline::{Progression, Timeline};
use super::touched::Touched;
use crate::server::NotReady;
use gce_metadata_routes::{EditError, Publisher};
use gce_metadata_support::duration::to_text;
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// A run that is not over.
pub(super) struct Run {
    /// Larger than that of each earlier run.
    pub(super) number: u64,
    pub(super) definition: Definition,
    pub(super) timeline: Timeline,
    /// The times of the states since the start, and that of the end if there is one.
    offsets: Vec<Duration>,
    /// Whether all values stay when the run is over.
    keeps_all: bool,
    /// The number of states that were entered, which is the index of the next one.
    entered: usize,
    touched: Touched,
    faults: Option<FaultGuard>,
    /// Whether the child of `exec` was stopped by a signal and has not been continued.
    stops_child: bool,
}

impl Run {
    pub(super) fn new(number: u64, definition: Definition, timeline: Timeline, keeps_all: bool) -> Self {
        let offsets = definition.offsets();
        let (touched, faults) = (Touched::default(), None);
        Self { number, definition, timeline, offsets, keeps_all, entered: 0, touched, faults, stops_child: false }
    }

    /// The name of the current state.
    pub(super) fn state(&self) -> &str {
        self.entered.checked_sub(1).map_or(STARTED, |index| &self.definition.states[index].name)
    }

    /// The index of the next state; `None` in the last one.
    pub(super) fn next_state(&self) -> Option<usize> {
        Some(self.entered).filter(|index| *index < self.definition.states.len())
    }

    /// The time of the next state, or of the end, since the start; `None` if the run stays in its last state.
    pub(super) fn next_offset(&self) -> Option<Duration> {
        let ends = self.timeline.progression() != Progression::Immediate;
        self.offsets.get(self.entered).copied().filter(|_| ends || self.next_state().is_some())
    }

    /// When the next state or the end is due by the clock.
    pub(super) fn due(&self) -> Option<Instant> {
        self.timeline.due(self.next_offset()?)
    }

    pub(super) fn is_next_due(&self, now: Instant) -> bool {
        self.next_offset().is_some_and(|offset| self.timeline.has_reached(offset, now))
    }

    /// Moves the timeline to a state.
    pub(super) fn jump(&mut self, index: usize, now: Instant) {
        self.timeline.jump(self.offsets[index], now);
    }

    /// How clients are to be treated in the current state; `None` if they reach the server.
    pub(super) fn not_ready(&self) -> Option<NotReady> {
        self.definition.states[self.entered.checked_sub(1)?].not_ready
    }

    /// Enters a state, with one snapshot of the metadata. States that are passed are applied too, without their faults and signals; for
    /// an earlier state, the values are put back first. Returns the signal of the state.
    pub(super) fn enter(
        &mut self,
        index: usize,
        publisher: &Publisher,
        faults: &dyn FaultPort,
    ) -> Result<Option<Signal>, String> {
        let state = &self.definition.states[index];
        // Before the metadata, so that a program that the metadata wakes meets the faults.
        let faults = match &state.faults[..] {
            [] => None,
            mappings => Some(faults.add(mappings).map_err(|error| format!("its faults can't be added: {error}"))?),
        };
        let is_back = index < self.entered;
        let passed = &self.definition.states[if is_back { 0 } else { self.entered }..=index];
        let patches: Vec<_> = passed.iter().filter_map(|state| state.patch.as_ref()).collect();
        if is_back || !patches.is_empty() {
            let (now, mut touched) = (SystemTime::now(), self.touched.clone());
            let edited = publisher.edit(|tree| {
                let mut tree = tree.clone();
                if is_back {
                    tree = touched.restored(&tree, |_| false).0;
                    touched.clear();
                }
                patches.iter().try_fold(tree, |tree, patch| touched.apply(&tree, &expanded(patch, now)))
            });
            edited.map_err(|error: EditError| error.to_string())?;
            self.touched = touched;
        }
        self.faults = faults;
        self.entered = index + 1;
        match state.signal {
            Some(Signal::Stop) => self.stops_child = true,
            Some(Signal::Cont | Signal::Kill) => self.stops_child = false,
            _ => {}
        }
        Ok(state.signal)
    }

    /// Puts the values back, with one snapshot. Returns the paths of the values that another writer has changed, which stay, and the
    /// signal that continues a stopped child.
    pub(super) fn put_back(self, publisher: &Publisher) -> (Vec<String>, Option<Signal>) {
        let keeps =
            |path: &str| self.keeps_all || self.definition.keep.iter().any(|kept| kept.trim_matches('/') == path);
        let mut changed = Vec::new();
        publisher.update(|tree| {
            let (restored, by_others) = self.touched.restored(tree, keeps);
            changed = by_others;
            restored
        });
        (changed, self.stops_child.then_some(Signal::Cont))
    }

    /// The run in JSON.
    pub(super) fn json(&self, scenario: &str, now: Instant) -> Value {
        let mut json = Map::new();
        json.insert("scenario".to_owned(), scenario.into());
        json.insert("run".to_owned(), self.number.into());
        json.insert("state".to_owned(), self.state().into());
        self.timeline.write(now, &mut json);
        json.insert("keep".to_owned(), self.keeps_all.into());
        if let Some(offset) = self.next_offset() {
            let state = self.next_state().map_or(STARTED, |index| &self.definition.states[index].name);
            json.insert("next".to_owned(), json!({"state": state, "at": to_text(offset)}));
        }
        json.into()
    }
}
