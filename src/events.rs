//! Events: what happens on a server, for streams of the admin API.
//!
//! Each part of the server that reports events has an [`Events`] handle. Requests and events are records of one [`Log`], so that they have
//! one numbering; the journal is the log's requests.

mod log;
mod stream;

pub(crate) use log::{Changes, Log};
pub(crate) use stream::{LogStream, Record};

use serde_json::Value;
use std::time::SystemTime;

/// The kind of an event: its type in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A request was answered. The journal records it; nothing emits it.
    Request,
    /// A request waits for a change.
    Waiting,
    /// A request waits no longer.
    Woken,
    /// The metadata changed.
    Metadata,
    /// A token was requested, fetched, made or evicted.
    Token,
    /// A scenario has entered a state.
    Scenario,
    /// A fault was injected.
    Fault,
}

impl EventKind {
    /// All kinds, with their names in a stream.
    pub(crate) const NAMES: [(&str, Self); 7] = [
        ("request", Self::Request),
        ("waiting", Self::Waiting),
        ("woken", Self::Woken),
        ("metadata", Self::Metadata),
        ("token", Self::Token),
        ("scenario", Self::Scenario),
        ("fault", Self::Fault),
    ];
}

/// Something that happened, other than a request.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) time: SystemTime,
    /// A JSON object without secrets.
    pub(crate) data: Value,
}

/// A handle to report events. Clones report to the same log; the default handle ignores events.
///
/// ```ignore
/// events.emit(EventKind::Fault, || json!({"id": fault.id, "path": path}));
/// ```
#[derive(Debug, Clone, Default)]
pub(crate) struct Events(Option<Log>);

impl Events {
    /// A handle that reports events to this log; `None` ignores them.
    pub(crate) fn new(log: Option<Log>) -> Self {
        Self(log)
    }

    /// The log; `None` if events are ignored.
    pub(crate) fn log(&self) -> Option<&Log> {
        self.0.as_ref()
    }

    /// Reports an event. `data` makes its JSON object, and is called only while events are recorded: without a stream, the cost is one
    /// relaxed load.
    pub(crate) fn emit(&self, kind: EventKind, data: impl FnOnce() -> Value) {
        if let Some(log) = &self.0
            && log.is_recording()
        {
            log.add_event(Event { kind, time: SystemTime::now(), data: data() });
        }
    }
}

#[cfg(test)]
mod tests;
