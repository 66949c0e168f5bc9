//! Events: what happens on a server, for streams of the admin API.
//!
//! Each part of the server that reports events has an [`Events`] handle, for example from `Vm::events`. Requests and events are records of one [`Log`], so that they have
//! one numbering; the journal is the log's requests.

mod log;
mod metadata;
mod stream;
mod token_events;
mod waits;

pub(crate) use log::{Changes, Log};
pub(crate) use metadata::report_metadata;
pub(crate) use stream::{LogStream, Record};
pub(crate) use token_events::ReportTokens;
pub(crate) use waits::{Waits, end_name};

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
    /// All kinds.
    pub(crate) const ALL: [Self; 7] =
        [Self::Request, Self::Waiting, Self::Woken, Self::Metadata, Self::Token, Self::Scenario, Self::Fault];

    /// The type in a stream.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Waiting => "waiting",
            Self::Woken => "woken",
            Self::Metadata => "metadata",
            Self::Token => "token",
            Self::Scenario => "scenario",
            Self::Fault => "fault",
        }
    }
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
        if let Some(event) = self.prepare(kind, data) {
            event.emit();
        }
    }

    /// Makes an event that is reported later; `None` if events are not recorded.
    pub(crate) fn prepare(&self, kind: EventKind, data: impl FnOnce() -> Value) -> Option<Prepared> {
        let log = self.0.as_ref().filter(|log| log.is_recording())?;
        Some(Prepared { log: log.clone(), event: Event { kind, time: SystemTime::now(), data: data() } })
    }
}

/// An event that is not reported yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    log: Log,
    event: Event,
}

impl Prepared {
    pub(crate) fn emit(self) {
        self.log.add_event(self.event);
    }
}

#[cfg(test)]
mod tests;
