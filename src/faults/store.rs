//! The faults of a server: adds, replaces, removes, lists and resets them, and decides which one is injected into a request.

use super::definition::{Definition, Place};
use super::effect::Effect;
use super::error::FaultError;
use super::state::{State, Stored};
use crate::events::Events;
use crate::journal::Times;
use gce_metadata_layers::FaultDelay;
use gce_metadata_routes::Reader;
use serde_json::Value;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The faults of a server: [`Server::faults`](crate::Server::faults). Clones share them.
#[derive(Clone)]
pub struct Faults(pub(super) Arc<Shared>);

pub(super) struct Shared {
    /// Whether there are faults in each place. A request reads it instead of taking the lock. It is written under the lock.
    has_request_faults: AtomicBool,
    has_source_faults: AtomicBool,
    state: Mutex<State>,
    /// Tells the names of accounts.
    pub(super) reader: Reader,
    pub(super) events: Events,
}

/// What a fault has done so far.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultStatus {
    /// The id: a UUID.
    pub id: String,
    /// The name, if the fault has one.
    pub name: Option<String>,
    /// The number of requests that match.
    pub matched: u64,
    /// The number of requests that the fault was injected into.
    pub injected: u64,
    /// Whether the fault will not be injected again: its requests or instructions are used up, or its time is over.
    pub is_completed: bool,
}

/// What an import does with a fault whose id exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Duplicates {
    Overwrite,
    Ignore,
}

/// A fault that is to be injected now.
pub(super) struct Injection {
    pub(super) id: Arc<str>,
    pub(super) definition: Arc<Definition>,
    /// The position among the injections of the fault, from 0.
    pub(super) number: u64,
    pub(super) delay: FaultDelay,
}

impl Injection {
    /// The effect on this request.
    pub(super) fn effect(&self) -> Option<&Effect> {
        self.definition.effect(self.number)
    }
}

impl Faults {
    /// No faults, for a server of this metadata.
    pub(crate) fn new(reader: Reader, events: Events) -> Self {
        let flag = || AtomicBool::new(false);
        Self(Arc::new(Shared {
            has_request_faults: flag(),
            has_source_faults: flag(),
            state: Mutex::default(),
            reader,
            events,
        }))
    }

    /// Whether there are no faults in this place. A single relaxed load: a client that learned of a fault, or the thread that added it, is
    /// ordered after the store.
    #[inline]
    pub(super) fn is_idle(&self, place: Place) -> bool {
        let flag = match place {
            Place::Request => &self.0.has_request_faults,
            Place::Source => &self.0.has_source_faults,
        };
        !flag.load(Ordering::Relaxed)
    }

    /// Adds a fault, and returns its document. A fault with the same id is replaced.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) fn insert(&self, definition: Definition) -> Result<Value, FaultError> {
        self.insert_expecting(definition, None)
    }

    pub(super) fn insert_expecting(
        &self,
        definition: Definition,
        expected: Option<Times>,
    ) -> Result<Value, FaultError> {
        let mut state = self.lock();
        state.check_room(1)?;
        let index = state.insert(definition, expected, false);
        let document = state.faults[index].document();
        self.settle(state);
        Ok(document)
    }

    /// Replaces the fault with this id, and starts its counters again; `None` if there is none.
    pub(crate) fn replace(&self, id: &str, definition: Definition) -> Option<Value> {
        let mut state = self.lock();
        state.position(id)?;
        let index = state.insert(definition.with_id(id), None, false);
        let document = state.faults[index].document();
        self.settle(state);
        Some(document)
    }

    /// Adds all of these faults or none.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) fn import(
        &self,
        definitions: Vec<Definition>,
        duplicates: Duplicates,
        removes_others: bool,
    ) -> Result<(), FaultError> {
        let mut state = self.lock();
        state.check_room(definitions.len())?;
        let mut imported = Vec::new();
        // The first of the document is tried first, so it is added last.
        for definition in definitions.into_iter().rev() {
            let existing = definition.id().and_then(|id| state.position(id));
            let index = match existing {
                Some(index) if duplicates == Duplicates::Ignore => index,
                _ => state.insert(definition, None, false),
            };
            imported.push(Arc::clone(&state.faults[index].id));
        }
        if removes_others {
            state.faults.retain(|fault| imported.contains(&fault.id));
        }
        self.settle(state);
        Ok(())
    }

    /// Removes the fault with this id; returns whether there was one. Its delays end: requests that hang are answered as usual.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let mut state = self.lock();
        let index = state.position(id);
        if let Some(index) = index {
            state.faults.remove(index);
        }
        self.settle(state);
        index.is_some()
    }

    /// Removes the faults with the request pattern of this one.
    pub(crate) fn remove_like(&self, definition: &Definition) {
        let mut state = self.lock();
        state.faults.retain(|fault| !fault.definition.has_request_of(definition));
        self.settle(state);
    }

    /// The document of the fault with this id, with its counters.
    pub(crate) fn document(&self, id: &str) -> Option<Value> {
        let state = self.lock();
        state.position(id).map(|index| state.faults[index].document())
    }

    /// The documents of all faults with their counters, in the order in which they are tried.
    pub(crate) fn documents(&self) -> Vec<Value> {
        self.lock().faults.iter().map(Stored::document).collect()
    }

    /// The documents of all faults without their counters, with which another server has the same faults.
    pub(crate) fn export(&self) -> Vec<Value> {
        let state = self.lock();
        state.faults.iter().map(|fault| Value::Object(fault.definition.document(&fault.id))).collect()
    }

    /// What each fault has done so far, in the order in which they are tried.
    pub fn list(&self) -> Vec<FaultStatus> {
        self.lock().faults.iter().map(Stored::status).collect()
    }

    pub(super) fn status(&self, id: &str) -> Option<FaultStatus> {
        let state = self.lock();
        state.position(id).map(|index| state.faults[index].status())
    }

    /// Removes all faults.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.faults.clear();
        self.settle(state);
    }

    /// Removes all faults, and adds those of the file again, with new counters.
    pub fn reset(&self) {
        let mut state = self.lock();
        state.faults.clear();
        state.restore_baseline();
        self.settle(state);
    }

    /// Sets the faults that a reset restores. They replace the former ones; faults that were added at run time stay.
    #[cfg_attr(not(test), expect(dead_code, reason = "the faults of a file are its caller"))]
    pub(crate) fn set_baseline(&self, definitions: Vec<Definition>) {
        let mut state = self.lock();
        state.faults.retain(|fault| !fault.is_baseline);
        state.baseline = definitions;
        state.restore_baseline();
        self.settle(state);
    }

    /// The expectations that do not hold, one sentence each.
    pub(crate) fn unmet(&self) -> Vec<String> {
        self.lock().faults.iter().filter_map(Stored::unmet).collect()
    }

    /// The expectation of this fault, if it does not hold.
    pub(super) fn unmet_of(&self, id: &str) -> Option<String> {
        let state = self.lock();
        state.position(id).and_then(|index| state.faults[index].unmet())
    }

    /// Counts a request, and decides which fault is injected into it. A fault that matches but is not injected now leaves the request to
    /// the next one.
    pub(super) fn decide(&self, place: Place, matches: impl Fn(&Definition) -> bool) -> Option<Injection> {
        let mut state = self.lock();
        let now = Instant::now();
        state.faults.iter_mut().find_map(|fault| {
            let definition = &fault.definition;
            if definition.place != place || !matches(definition) {
                return None;
            }
            let progress = &mut fault.progress;
            if !progress.decide(&definition.schedule, definition.uses(), now) {
                return None;
            }
            let number = progress.injected - 1;
            let delay = definition.effect(number)?.delay(&mut progress.random, fault.ended.clone());
            Some(Injection { id: Arc::clone(&fault.id), definition: Arc::clone(definition), number, delay })
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends each change.
    fn settle(&self, state: MutexGuard<'_, State>) {
        let has = |place| state.faults.iter().any(|fault| fault.definition.place == place);
        self.0.has_request_faults.store(has(Place::Request), Ordering::Relaxed);
        self.0.has_source_faults.store(has(Place::Source), Ordering::Relaxed);
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
