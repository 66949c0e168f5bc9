//! A reader of the log that gets each record once. A slow reader loses the oldest records and learns how many.

use super::log::{Changes, Log};
use super::{Event, EventKind};
use crate::journal::Entry;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A numbered record.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) number: u64,
    pub(crate) record: Record,
}

/// A record of the log, or a number of records that the log has dropped.
#[derive(Debug)]
pub(crate) enum Record {
    Request(Arc<Entry>),
    Event(Arc<Event>),
    /// The records up to this number were dropped before the stream has read them.
    Gap(u64),
}

impl Record {
    /// The kind of the event; `None` for a gap.
    pub(crate) fn kind(&self) -> Option<EventKind> {
        match self {
            Self::Request(_) => Some(EventKind::Request),
            Self::Event(event) => Some(event.kind),
            Self::Gap(_) => None,
        }
    }
}

/// Reads the log from a number on. While it exists, events are recorded.
#[derive(Debug)]
pub(crate) struct LogStream {
    log: Log,
    changes: Changes,
    /// The last number that was read.
    number: u64,
    _place: OwnedSemaphorePermit,
}

impl LogStream {
    /// The number of streams of one log at the same time.
    pub(crate) const MAX: usize = super::log::MAX_STREAMS;

    /// A stream of the records after this number; `None` for those from now on. A number that the log has not reached is one of an earlier
    /// server, so the stream begins with the oldest record. Returns `None` if [`MAX`](Self::MAX) streams exist.
    pub(crate) fn new(log: &Log, after: Option<u64>) -> Option<Self> {
        let changes = log.changes();
        let (place, last) = log.start_recording()?;
        let number = match after {
            Some(number) if number <= last => number,
            Some(_) => 0,
            None => last,
        };
        Some(Self { log: log.clone(), changes, number, _place: place })
    }

    /// Waits for records, and returns at most `max` and their gaps. They count as read when [`read`](Self::read) says so: a caller that
    /// drops the future loses none.
    pub(crate) async fn next(&self, max: usize) -> Vec<Item> {
        self.changes.until(|| Some(self.available(max)).filter(|items| !items.is_empty())).await
    }

    /// The records that the log has now, without waiting.
    pub(crate) fn available(&self, max: usize) -> Vec<Item> {
        self.with_gaps(self.log.after(self.number, max))
    }

    /// Sets the last number that was read.
    pub(crate) fn read(&mut self, number: u64) {
        self.number = number;
    }

    /// Adds an item before each number that does not follow the one before it.
    fn with_gaps(&self, items: Vec<Item>) -> Vec<Item> {
        let mut last = self.number;
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            let missing = item.number - last - 1;
            if missing > 0 {
                all.push(Item { number: item.number - 1, record: Record::Gap(missing) });
            }
            last = item.number;
            all.push(item);
        }
        all
    }
}
