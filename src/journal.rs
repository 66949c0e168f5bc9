//! The journal: the last requests with the heads of their answers, for tests that assert what a program asked.
//!
//! Requests take no lock: an entry goes into a bounded queue (`ArrayQueue`), which drops its oldest entry when it is full. Readers take the
//! entries over into a list, which has a lock that only readers take. Entries get their numbers there, so the numbers are in the order in
//! which the answers were made, and one reader's list is never reordered by another.

mod entry;
mod expectation;
mod near;
mod requests;
mod serve_event;
mod times;

pub(crate) use entry::Entry;
pub(crate) use expectation::Expectation;
pub(crate) use near::{NearMiss, near_misses, nearest_keys};
pub use requests::{ExpectationGuard, MatchingRequests, ReceivedRequest, Requests, UnmetExpectation};
pub(crate) use serve_event::{logged_request, serve_event};
pub use times::Times;

use crate::request_pattern::Pattern;
use crossbeam_queue::ArrayQueue;
use entry::Answer;
use gce_metadata_layers::record_requests::{BegunRequest, EndedRequest, RecordAnswer, RecordRequest};
use gce_metadata_routes::Reader;
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The last requests. Clones share them.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    /// The entries that no reader has taken over. The box keeps the queue and the futures of requests small.
    ended: ArrayQueue<Box<Entry>>,
    taken: Mutex<Taken>,
    /// The number of [`Changes`]. Without any, a request notifies nothing, because `Notify` takes a lock.
    followers: AtomicUsize,
    added: Notify,
    /// What [`Server::verify`](crate::Server::verify) checks.
    expected: Mutex<Vec<Expectation>>,
    /// Tells the generation of the metadata.
    reader: Reader,
}

/// The entries that readers have taken over, the oldest first.
#[derive(Default)]
struct Taken {
    entries: VecDeque<Arc<Entry>>,
    last_number: u64,
}

impl Journal {
    /// A journal of the last `entries` requests to a server of this metadata.
    pub(crate) fn new(entries: NonZeroUsize, reader: Reader) -> Self {
        Self(Arc::new(Shared {
            ended: ArrayQueue::new(entries.get()),
            taken: Mutex::default(),
            followers: AtomicUsize::new(0),
            added: Notify::new(),
            expected: Mutex::default(),
            reader,
        }))
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.taken().entries.iter().cloned().collect()
    }

    /// The entries with a larger number than this one, the oldest first.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "the stream of events continues after the number that its client has")
    )]
    pub(crate) fn entries_after(&self, number: u64) -> Vec<Arc<Entry>> {
        let taken = self.taken();
        let start = taken.entries.partition_point(|entry| entry.number() <= number);
        taken.entries.range(start..).cloned().collect()
    }

    /// The entries that match, the oldest first.
    pub(crate) fn matching(&self, pattern: &Pattern) -> Vec<Arc<Entry>> {
        self.entries().into_iter().filter(|entry| pattern.matches(&**entry)).collect()
    }

    /// The entry with this number.
    pub(crate) fn entry(&self, number: u64) -> Option<Arc<Entry>> {
        let taken = self.taken();
        let index = taken.entries.binary_search_by_key(&number, |entry| entry.number()).ok()?;
        taken.entries.get(index).cloned()
    }

    /// Removes these entries.
    pub(crate) fn remove(&self, entries: &[Arc<Entry>]) {
        let is_removed = |entry: &Arc<Entry>| entries.iter().any(|removed| removed.number() == entry.number());
        self.taken().entries.retain(|entry| !is_removed(entry));
    }

    /// Removes all entries.
    pub(crate) fn clear(&self) {
        self.taken().entries.clear();
    }

    /// A signal for each new entry.
    pub(crate) fn changes(&self) -> Changes {
        self.0.followers.fetch_add(1, Ordering::SeqCst);
        Changes(self.clone())
    }

    /// Adds an expectation to be verified.
    pub(crate) fn expect(&self, expectation: Expectation) {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner).push(expectation);
    }

    /// The expectations to be verified.
    pub(crate) fn expected(&self) -> Vec<Expectation> {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes new entries over.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        // A bound, so that a reader ends while requests keep coming.
        for _ in 0..self.0.ended.capacity() {
            let Some(mut entry) = self.0.ended.pop() else { break };
            taken.last_number += 1;
            entry.number = taken.last_number;
            taken.entries.push_back(Arc::from(entry));
        }
        let surplus = taken.entries.len().saturating_sub(self.0.ended.capacity());
        taken.entries.drain(..surplus);
        taken
    }

    fn add(&self, mut entry: Box<Entry>) {
        entry.generation = self.0.reader.snapshot().generation();
        self.0.ended.force_push(entry);
        // Orders the push before the load: a follower looks for entries after it has counted itself.
        fence(Ordering::SeqCst);
        if self.0.followers.load(Ordering::SeqCst) > 0 {
            self.0.added.notify_waiters();
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("capacity", &self.0.ended.capacity()).finish_non_exhaustive()
    }
}

/// Signals new entries to one follower.
#[derive(Debug)]
pub(crate) struct Changes(Journal);

impl Changes {
    /// Calls `check` at once and after each new entry, until it returns a value. No entry is missed.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut added = std::pin::pin!(self.0.0.added.notified());
            // Registers before the check, so that an entry during the check wakes this task.
            added.as_mut().enable();
            if let Some(found) = check() {
                return found;
            }
            added.await;
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.0.0.followers.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A request that has no answer yet.
#[derive(Debug)]
pub(crate) struct Begun {
    journal: Journal,
    entry: Option<Box<Entry>>,
}

impl RecordRequest for Journal {
    type Begun = Begun;

    fn begin(&self, request: BegunRequest<'_>) -> Begun {
        let BegunRequest { method, uri, headers, extensions, body, .. } = request;
        let entry = Entry::new(method, uri, headers, extensions.get(), body);
        Begun { journal: self.clone(), entry: Some(Box::new(entry)) }
    }
}

impl RecordAnswer for Begun {
    fn end(mut self, answer: EndedRequest<'_>) {
        if let Some(mut entry) = self.entry.take() {
            entry.answered(Answer::new(answer.status, answer.extensions), answer.headers, answer.duration);
            self.journal.add(entry);
        }
    }
}

/// The client left before its answer: such a request is recorded too.
impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            entry.duration = entry.received.elapsed().unwrap_or_default();
            self.journal.add(entry);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
