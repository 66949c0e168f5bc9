//! An expectation: how often requests that match a pattern are expected, and what was asked instead.

use super::Journal;
use super::entry::Entry;
use super::near::{near_misses, nearest_keys_of};
use super::times::{Times, requests};
use crate::request_pattern::{Pattern, RequestView};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A number of requests that match a pattern.
#[derive(Debug, Clone)]
pub(crate) struct Expectation {
    pattern: Pattern,
    times: Times,
}

impl Expectation {
    pub(crate) fn new(pattern: Pattern, times: Times) -> Self {
        Self { pattern, times }
    }

    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    pub(crate) fn times(&self) -> Times {
        self.times
    }

    /// The entries that match, if their number is the expected one.
    pub(crate) fn check(&self, journal: &Journal) -> Result<Vec<Arc<Entry>>, Unmet> {
        let matching = journal.matching(&self.pattern);
        if self.times.contains(matching.len()) { Ok(matching) } else { Err(self.unmet(journal, matching.len())) }
    }

    /// Waits until the expected number of requests was received, for this time at most. An expectation of no minimum waits for the whole
    /// time.
    pub(crate) async fn wait(&self, journal: &Journal, time: Duration) -> Result<Vec<Arc<Entry>>, Unmet> {
        let changes = journal.changes();
        let decided = changes.until(|| {
            let count = journal.matching(&self.pattern).len();
            (self.times.is_reached(count) || self.times.is_exceeded(count)).then_some(())
        });
        // Late or not, the number counts.
        let _ = timeout(time, decided).await;
        self.check(journal)
    }

    fn unmet(&self, journal: &Journal, count: usize) -> Unmet {
        let near = near_misses(&self.pattern, &journal.entries());
        let asked = near.iter().map(|miss| format!("{} {}", miss.entry.method, miss.entry.url())).collect();
        let nearest_keys = nearest_keys_of(journal.snapshot().tree(), &self.pattern).unwrap_or_default();
        Unmet { expected: self.times, pattern: self.pattern.to_string(), count, asked, nearest_keys }
    }
}

/// An expectation that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unmet {
    expected: Times,
    pattern: String,
    count: usize,
    /// The nearest requests that do not match, as `METHOD URL`.
    asked: Vec<String>,
    /// The nearest keys of the metadata, if the pattern names a key that does not exist.
    nearest_keys: Vec<String>,
}

impl Unmet {
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The expectation and the number, in one line.
    pub(crate) fn summary(&self) -> String {
        format!("expected {} for {}, received {}", self.expected, self.pattern, requests(self.count))
    }
}

/// The summary, a line for each of the nearest requests, and the nearest keys.
impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary())?;
        if !self.asked.is_empty() {
            f.write_str("; the nearest other requests are:")?;
            self.asked.iter().try_for_each(|request| write!(f, "\n  {request}"))?;
        }
        if !self.nearest_keys.is_empty() {
            write!(f, "\nthe metadata has no such key; the nearest keys are {}", self.nearest_keys.join(", "))?;
        }
        Ok(())
    }
}
