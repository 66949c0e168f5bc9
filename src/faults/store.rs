//! The faults of a server: adds, replaces, removes, lists and resets them, and decides which one is injected into a request.

use super::definition::{Definition, Place};
use super::effect::Effect;
use super::error::FaultError;
use super::schedule::Progress;
use crate::events::Events;
use crate::journal::Times;
use fastrand::Rng;
use gce_metadata_layers::FaultDelay;
use gce_metadata_routes::Reader;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The limit on the number of faults, because a request is compared with each of them.
const MAX_FAULTS: usize = 1000;

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

struct State {
    /// In the order in which they are tried: by priority, then the newest first.
    faults: Vec<Stored>,
    /// The faults that a reset restores.
    baseline: Vec<Definition>,
    added: u64,
    random: Rng,
}

struct Stored {
    id: Arc<str>,
    definition: Arc<Definition>,
    progress: Progress,
    /// Cancelled when the fault is removed, which ends its delays.
    ended: CancellationToken,
    /// The number of faults that were added before. Replacing a fault keeps it.
    age: u64,
    expected: Option<Times>,
    is_baseline: bool,
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
        let state = State { faults: Vec::new(), baseline: Vec::new(), added: 0, random: Rng::new() };
        let flag = || AtomicBool::new(false);
        Self(Arc::new(Shared {
            has_request_faults: flag(),
            has_source_faults: flag(),
            state: Mutex::new(state),
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

impl State {
    fn position(&self, id: &str) -> Option<usize> {
        self.faults.iter().position(|fault| fault.id.eq_ignore_ascii_case(id))
    }

    fn check_room(&self, more: usize) -> Result<(), FaultError> {
        if self.faults.len().saturating_add(more) > MAX_FAULTS {
            return Err(FaultError::new("", format!("a server has at most {MAX_FAULTS} faults: remove some first")));
        }
        Ok(())
    }

    /// Adds a fault, or replaces the one with its id, and returns its position.
    fn insert(&mut self, definition: Definition, expected: Option<Times>, is_baseline: bool) -> usize {
        let id = definition.id.clone().unwrap_or_else(|| new_id(&mut self.random));
        let replaced = self.position(&id).map(|index| self.faults.remove(index));
        let age = replaced.map_or(self.added, |fault| fault.age);
        self.added += 1;
        let key = |fault: &Stored| (fault.definition.priority, std::cmp::Reverse(fault.age));
        let index = self.faults.partition_point(|fault| key(fault) < (definition.priority, std::cmp::Reverse(age)));
        let progress = Progress::start(&definition.schedule, Instant::now());
        let (definition, ended) = (Arc::new(definition), CancellationToken::new());
        let fault = Stored { id: id.into(), definition, progress, ended, age, expected, is_baseline };
        self.faults.insert(index, fault);
        index
    }

    fn restore_baseline(&mut self) {
        // The first of the file is tried first, so it is added last.
        for definition in self.baseline.clone().into_iter().rev() {
            self.insert(definition, None, true);
        }
    }
}

impl Stored {
    fn status(&self) -> FaultStatus {
        let Self { definition, progress, .. } = self;
        FaultStatus {
            id: self.id.to_string(),
            name: definition.name.as_deref().map(str::to_owned),
            matched: progress.matched,
            injected: progress.injected,
            is_completed: progress.is_completed(&definition.schedule, definition.uses(), Instant::now()),
        }
    }

    fn document(&self) -> Value {
        let status = self.status();
        let mut document: Map<String, Value> = self.definition.document(&self.id);
        document.extend([
            ("matched".to_owned(), status.matched.into()),
            ("injected".to_owned(), status.injected.into()),
            ("completed".to_owned(), status.is_completed.into()),
        ]);
        document.into()
    }

    fn unmet(&self) -> Option<String> {
        let (expected, Progress { matched, injected, .. }) = (self.expected?, &self.progress);
        let is_met = expected.contains(usize::try_from(*injected).unwrap_or(usize::MAX));
        let label = self.definition.label();
        (!is_met).then(|| {
            format!("expected the fault {label} to be injected into {expected}, was injected into {injected} of {matched} that match")
        })
    }
}

/// Ends the delays of a fault that is removed or replaced.
impl Drop for Stored {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

/// A random UUID (version 4).
fn new_id(random: &mut Rng) -> String {
    let bits =
        random.u128(..) & !(0xf000_u128 << 64) & !(0xc000_u128 << 48) | (0x4000_u128 << 64) | (0x8000_u128 << 48);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
