//! The journal: the last requests with the heads of their answers, for tests that assert what a program asked.
//!
//! The entries are the requests of the server's [`Log`], which also has its other events and numbers both.

mod entry;
mod expectation;
mod near;
mod requests;
mod serve_event;
mod times;
mod verification;

pub(crate) use entry::Entry;
#[cfg(test)]
pub(crate) use entry::tests::entry as test_entry;
pub(crate) use expectation::Expectation;
pub(crate) use near::{NearMiss, near_misses, nearest_keys, nearest_keys_of};
pub use requests::{ExpectationGuard, MatchingRequests, ReceivedRequest, Requests, UnmetExpectation};
pub(crate) use serve_event::{logged_request, serve_event};
pub use times::Times;
pub(crate) use verification::Verification;
pub use verification::{Expectations, ExpectationsError};

use crate::events::{Changes, Log};
use crate::request_pattern::Pattern;
use entry::Answer;
use gce_metadata_layers::record_requests::{BegunRequest, EndedRequest, RecordAnswer, RecordRequest};
use gce_metadata_routes::{Reader, Snapshot};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The requests in a log. Clones share them.
#[derive(Clone)]
pub(crate) struct Journal(Arc<Shared>);

struct Shared {
    log: Log,
    /// What [`Server::verify`](crate::Server::verify) checks.
    expected: Mutex<Vec<Expectation>>,
    /// Tells the generation of the metadata.
    reader: Reader,
}

impl Journal {
    /// A journal in this log of the requests to a server of this metadata.
    pub(crate) fn new(log: Log, reader: Reader) -> Self {
        Self(Arc::new(Shared { log, expected: Mutex::default(), reader }))
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(&self) -> Vec<Arc<Entry>> {
        self.0.log.requests()
    }

    /// The entries that match, the oldest first.
    pub(crate) fn matching(&self, pattern: &Pattern) -> Vec<Arc<Entry>> {
        self.entries().into_iter().filter(|entry| pattern.matches(&**entry)).collect()
    }

    /// The entry with this number.
    pub(crate) fn entry(&self, number: u64) -> Option<Arc<Entry>> {
        self.0.log.request(number)
    }

    /// Removes these entries.
    pub(crate) fn remove(&self, entries: &[Arc<Entry>]) {
        let is_removed = |entry: &Arc<Entry>| entries.iter().any(|removed| removed.number() == entry.number());
        self.0.log.retain_requests(|entry| !is_removed(entry));
    }

    /// Removes all entries.
    pub(crate) fn clear(&self) {
        self.0.log.clear_requests();
    }

    /// The number of entries that were dropped to make room, since the journal was cleared.
    pub(crate) fn lost(&self) -> u64 {
        self.0.log.lost_requests()
    }

    /// The current metadata.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.0.reader.snapshot()
    }

    /// A signal for each new entry.
    pub(crate) fn changes(&self) -> Changes {
        self.0.log.changes()
    }

    /// Adds an expectation to be verified.
    pub(crate) fn expect(&self, expectation: Expectation) {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner).push(expectation);
    }

    /// The expectations to be verified.
    pub(crate) fn expected(&self) -> Vec<Expectation> {
        self.0.expected.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, mut entry: Box<Entry>) {
        entry.generation = self.0.reader.snapshot().generation();
        self.0.log.add_request(entry);
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("log", &self.0.log).finish_non_exhaustive()
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
mod tests;
