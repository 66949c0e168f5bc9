//! The log of requests and events: a bounded queue without locks that writers append to, and lists that readers take records over into.
//!
//! A writer takes no lock: it appends to the queue (`ArrayQueue`), which drops its oldest record when it is full. A reader drains the queue
//! into the lists, under a lock that only readers wait for, and gives the records their numbers there. So numbers are in the order of the
//! queue, and a reader that has seen a number never misses a smaller one.

use super::Event;
use super::stream::{Item, Record};
use crate::journal::Entry;
use crossbeam_queue::ArrayQueue;
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The number of events that the log keeps, beside the requests.
const MAX_EVENTS: usize = 1000;

/// The number of events in the queue above which a writer of events drains it. Otherwise events would displace requests.
const MAX_QUEUED_EVENTS: usize = 128;

/// The number of events that are recorded after the last stream has ended, for a client that reconnects.
const MAX_UNFOLLOWED_EVENTS: usize = 256;

/// The number of streams at the same time.
pub(super) const MAX_STREAMS: usize = 16;

/// The last requests and events. Clones share them.
#[derive(Clone)]
pub(crate) struct Log(Arc<Shared>);

struct Shared {
    /// The records that no reader has taken over. The boxes keep the queue and the futures of requests small.
    queue: ArrayQueue<Queued>,
    /// The number of events in the queue, which is approximate while writers and readers run.
    queued_events: AtomicUsize,
    /// The number of records that the queue has dropped and that no number stands for yet.
    dropped: AtomicU64,
    /// The number of requests that were dropped to make room, since the requests were cleared.
    lost_requests: AtomicU64,
    taken: Mutex<Taken>,
    /// Whether events are recorded. Requests always are.
    is_recording: AtomicBool,
    /// The number of events since the last stream has ended.
    unfollowed: AtomicUsize,
    streams: Arc<Semaphore>,
    /// The number of [`Changes`]. Without any, a writer notifies nothing, because `Notify` takes a lock.
    followers: AtomicUsize,
    added: Notify,
}

enum Queued {
    Request(Box<Entry>),
    Event(Box<Event>),
}

/// The records that readers have taken over, each list in the order of the numbers.
struct Taken {
    max_requests: usize,
    requests: VecDeque<Arc<Entry>>,
    events: VecDeque<(u64, Arc<Event>)>,
    last_number: u64,
}

impl Log {
    /// A log of the last `max_requests` requests.
    pub(crate) fn new(max_requests: usize) -> Self {
        let taken = Taken { max_requests, requests: VecDeque::new(), events: VecDeque::new(), last_number: 0 };
        Self(Arc::new(Shared {
            // Twice the number of events, because writers that add events at the same time may exceed it before one of them drains.
            queue: ArrayQueue::new(max_requests + 2 * MAX_QUEUED_EVENTS),
            queued_events: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            lost_requests: AtomicU64::new(0),
            taken: Mutex::new(taken),
            is_recording: AtomicBool::new(false),
            unfollowed: AtomicUsize::new(0),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            followers: AtomicUsize::new(0),
            added: Notify::new(),
        }))
    }

    /// Adds a request.
    pub(crate) fn add_request(&self, entry: Box<Entry>) {
        self.push(Queued::Request(entry));
    }

    /// Whether events are recorded.
    pub(super) fn is_recording(&self) -> bool {
        self.0.is_recording.load(Ordering::Relaxed)
    }

    /// Adds an event.
    pub(super) fn add_event(&self, event: Event) {
        if !self.has_streams() && self.0.unfollowed.fetch_add(1, Ordering::Relaxed) >= MAX_UNFOLLOWED_EVENTS {
            return self.stop_recording();
        }
        // At most one writer drains, and none waits for the lock.
        if self.0.queued_events.fetch_add(1, Ordering::Relaxed) >= MAX_QUEUED_EVENTS
            && let Some(mut taken) = self.try_lock()
        {
            self.drain(&mut taken);
        }
        self.push(Queued::Event(Box::new(event)));
    }

    /// The requests, the oldest first.
    pub(crate) fn requests(&self) -> Vec<Arc<Entry>> {
        self.taken().requests.iter().cloned().collect()
    }

    /// The request with this number.
    pub(crate) fn request(&self, number: u64) -> Option<Arc<Entry>> {
        let taken = self.taken();
        let index = taken.requests.binary_search_by_key(&number, |entry| entry.number()).ok()?;
        taken.requests.get(index).cloned()
    }

    /// Keeps the requests for which `keep` returns true.
    pub(crate) fn retain_requests(&self, keep: impl FnMut(&Arc<Entry>) -> bool) {
        self.taken().requests.retain(keep);
    }

    /// Removes all requests.
    pub(crate) fn clear_requests(&self) {
        self.taken().requests.clear();
        self.0.lost_requests.store(0, Ordering::Relaxed);
    }

    /// The number of requests that were dropped to make room, since the requests were cleared.
    pub(crate) fn lost_requests(&self) -> u64 {
        // Requests that are taken over may drop older ones.
        drop(self.taken());
        self.0.lost_requests.load(Ordering::Relaxed)
    }

    /// The first `max` records after this number, the oldest first.
    pub(super) fn after(&self, number: u64, max: usize) -> Vec<Item> {
        let taken = self.taken();
        let request = taken.requests.partition_point(|entry| entry.number() <= number);
        let event = taken.events.partition_point(|(known, _)| *known <= number);
        let mut requests = taken.requests.range(request..).peekable();
        let mut events = taken.events.range(event..).peekable();
        let mut items = Vec::new();
        while items.len() < max {
            let next_event = events.peek().map(|(number, _)| *number);
            let item = match requests.next_if(|entry| next_event.is_none_or(|event| entry.number() < event)) {
                Some(entry) => Item { number: entry.number(), record: Record::Request(Arc::clone(entry)) },
                None => match events.next() {
                    Some((number, event)) => Item { number: *number, record: Record::Event(Arc::clone(event)) },
                    None => break,
                },
            };
            items.push(item);
        }
        items
    }

    /// A signal for each new record.
    pub(crate) fn changes(&self) -> Changes {
        self.0.followers.fetch_add(1, Ordering::SeqCst);
        Changes(self.clone())
    }

    /// Records events from now on. Returns the place of a stream and the last number; `None` if all places are taken.
    pub(super) fn start_recording(&self) -> Option<(OwnedSemaphorePermit, u64)> {
        let place = Arc::clone(&self.0.streams).try_acquire_owned().ok()?;
        let mut taken = self.taken();
        if self.0.unfollowed.swap(0, Ordering::SeqCst) > MAX_UNFOLLOWED_EVENTS {
            // A number for the events that were not recorded, so that a client that continues after an earlier number learns of a gap.
            taken.last_number += 1;
        }
        self.0.is_recording.store(true, Ordering::SeqCst);
        Some((place, taken.last_number))
    }

    /// Stops the record of events, unless a stream has begun.
    fn stop_recording(&self) {
        // Under the lock, which a beginning stream takes too.
        if let Some(_taken) = self.try_lock()
            && !self.has_streams()
        {
            self.0.is_recording.store(false, Ordering::SeqCst);
        }
    }

    fn has_streams(&self) -> bool {
        self.0.streams.available_permits() < MAX_STREAMS
    }

    fn push(&self, record: Queued) {
        if let Some(displaced) = self.0.queue.force_push(record) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            match displaced {
                Queued::Request(_) => _ = self.0.lost_requests.fetch_add(1, Ordering::Relaxed),
                Queued::Event(_) => _ = self.0.queued_events.fetch_sub(1, Ordering::Relaxed),
            }
        }
        // Orders the push before the load: a follower looks for records after it has counted itself.
        fence(Ordering::SeqCst);
        if self.0.followers.load(Ordering::SeqCst) > 0 {
            self.0.added.notify_waiters();
        }
    }

    /// Takes new records over.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.drain(&mut taken);
        taken
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Taken>> {
        match self.0.taken.try_lock() {
            Ok(taken) => Some(taken),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn drain(&self, taken: &mut Taken) {
        // A bound, so that a reader ends while requests keep coming.
        for _ in 0..self.0.queue.capacity() {
            let Some(record) = self.0.queue.pop() else { break };
            // The dropped records were older than this one. Writers drop records during the drain too, so each turn counts them.
            taken.last_number += self.0.dropped.swap(0, Ordering::Relaxed) + 1;
            match record {
                Queued::Request(entry) => taken.requests.push_back(Arc::from(entry.numbered(taken.last_number))),
                Queued::Event(event) => {
                    self.0.queued_events.fetch_sub(1, Ordering::Relaxed);
                    taken.events.push_back((taken.last_number, Arc::from(event)));
                }
            }
        }
        let lost = trim(&mut taken.requests, taken.max_requests);
        self.0.lost_requests.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
        trim(&mut taken.events, MAX_EVENTS);
    }
}

/// Removes the oldest records above the limit, and returns their number.
fn trim<T>(list: &mut VecDeque<T>, max: usize) -> usize {
    list.drain(..list.len().saturating_sub(max)).len()
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("is_recording", &self.is_recording()).finish_non_exhaustive()
    }
}

/// Signals new records to one follower.
#[derive(Debug)]
pub(crate) struct Changes(Log);

impl Changes {
    /// Calls `check` at once and after each new record, until it returns a value. No record is missed.
    pub(crate) async fn until<T>(&self, mut check: impl FnMut() -> Option<T>) -> T {
        loop {
            let mut added = std::pin::pin!(self.0.0.added.notified());
            // Registers before the check, so that a record during the check wakes this task.
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

#[cfg(test)]
impl Log {
    /// The numbers of followers, and of requests and events in memory, for tests of the limits.
    pub(crate) fn sizes(&self) -> (usize, usize, usize) {
        let taken = self.0.taken.lock().unwrap();
        let queued = self.0.queue.len();
        (self.0.followers.load(Ordering::SeqCst), queued + taken.requests.len(), taken.events.len())
    }
}
