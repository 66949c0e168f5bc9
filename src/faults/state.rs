//! The faults in the order in which they are tried, with what each has done.

use super::FaultStatus;
use super::definition::{COUNTERS, Definition};
use super::error::FaultError;
use super::schedule::Progress;
use crate::journal::Times;
use fastrand::Rng;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The limit on the number of faults, because a request is compared with each of them.
const MAX_FAULTS: usize = 1000;

#[derive(Default)]
pub(super) struct State {
    /// In the order in which they are tried: by priority, then the newest first.
    pub(super) faults: Vec<Stored>,
    /// The faults that a reset restores.
    pub(super) baseline: Vec<Definition>,
    added: u64,
    random: Rng,
}

pub(super) struct Stored {
    pub(super) id: Arc<str>,
    pub(super) definition: Arc<Definition>,
    pub(super) progress: Progress,
    /// Cancelled when the fault is removed, which ends its delays.
    pub(super) ended: CancellationToken,
    /// The number of faults that were added before. Replacing a fault keeps it.
    age: u64,
    expected: Option<Times>,
    pub(super) is_baseline: bool,
}

impl State {
    pub(super) fn position(&self, id: &str) -> Option<usize> {
        self.faults.iter().position(|fault| fault.id.eq_ignore_ascii_case(id))
    }

    pub(super) fn check_room(&self, more: usize) -> Result<(), FaultError> {
        if self.faults.len().saturating_add(more) > MAX_FAULTS {
            return Err(FaultError::new("", format!("a server has at most {MAX_FAULTS} faults: remove some first")));
        }
        Ok(())
    }

    /// Adds a fault, or replaces the one with its id, and returns its position.
    pub(super) fn insert(&mut self, definition: Definition, expected: Option<Times>, is_baseline: bool) -> usize {
        let id = definition.id.clone().unwrap_or_else(|| new_id(&mut self.random));
        let replaced = self.position(&id).map(|index| self.faults.remove(index));
        let age = replaced.map_or(self.added, |fault| fault.age);
        self.added += 1;
        let key = |fault: &Stored| (fault.definition.priority, Reverse(fault.age));
        let index = self.faults.partition_point(|fault| key(fault) < (definition.priority, Reverse(age)));
        let progress = Progress::start(&definition.schedule, Instant::now());
        let (definition, ended) = (Arc::new(definition), CancellationToken::new());
        let fault = Stored { id: id.into(), definition, progress, ended, age, expected, is_baseline };
        self.faults.insert(index, fault);
        index
    }

    pub(super) fn restore_baseline(&mut self) {
        // The first of the file is tried first, so it is added last.
        for definition in self.baseline.clone().into_iter().rev() {
            self.insert(definition, None, true);
        }
    }
}

impl Stored {
    pub(super) fn status(&self) -> FaultStatus {
        let Self { definition, progress, .. } = self;
        FaultStatus {
            id: self.id.to_string(),
            name: definition.name.as_deref().map(str::to_owned),
            matched: progress.matched,
            injected: progress.injected,
            is_completed: progress.is_completed(&definition.schedule, definition.uses(), Instant::now()),
        }
    }

    pub(super) fn document(&self) -> Value {
        let status = self.status();
        let mut document: Map<String, Value> = self.definition.document(&self.id);
        let FaultStatus { matched, injected, is_completed, .. } = status;
        let metadata = document.entry("metadata").or_insert_with(|| json!({}));
        metadata[COUNTERS] = json!({"matched": matched, "injected": injected, "completed": is_completed});
        document.into()
    }

    pub(super) fn unmet(&self) -> Option<String> {
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

/// A random UUID (version 4).
fn new_id(random: &mut Rng) -> String {
    let bits =
        random.u128(..) & !(0xf000_u128 << 64) & !(0xc000_u128 << 48) | (0x4000_u128 << 64) | (0x8000_u128 << 48);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
