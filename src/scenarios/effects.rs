//! The effects of a state other than metadata: whether clients reach the server, and faults, through a port.

use crate::server::NotReady;
use serde_json::Value;
use std::fmt;

/// Parses the member `reachable`: `true`, `false` (as `"refuse"`), or the manner in which the server is not ready. `None` for anything else.
pub(super) fn reachable(value: &Value) -> Option<Option<NotReady>> {
    Some(match value {
        Value::Bool(true) => None,
        Value::Bool(false) => Some(NotReady::Refuse),
        Value::String(word) if word == "refuse" => Some(NotReady::Refuse),
        Value::String(word) if word == "503" => Some(NotReady::Unavailable),
        Value::String(word) if word == "hang" => Some(NotReady::Hang),
        _ => return None,
    })
}

/// The member `reachable` of a server that is not ready.
pub(super) fn reachable_json(not_ready: NotReady) -> Value {
    match not_ready {
        NotReady::Refuse => false.into(),
        NotReady::Unavailable => "503".into(),
        NotReady::Hang => "hang".into(),
    }
}

/// Where runs install the faults of their states.
pub(crate) trait InjectFaults: fmt::Debug + Send + Sync {
    /// Checks a stub mapping.
    ///
    /// # Errors
    /// If it can't be used.
    fn check(&self, mapping: &Value) -> Result<(), RefusedFault>;

    /// Adds these faults, which [`check`](Self::check) has accepted. Dropping the guard removes them.
    fn add(&self, mappings: &[Value]) -> FaultGuard;
}

/// Faults that are in force until this is dropped.
pub(crate) type FaultGuard = Box<dyn Send>;

/// Why a stub mapping can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedFault {
    /// JSON pointer of the wrong member, within the mapping.
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

/// The port of a server that has no fault injection.
#[derive(Debug)]
pub(crate) struct NoFaults;

impl InjectFaults for NoFaults {
    fn check(&self, _: &Value) -> Result<(), RefusedFault> {
        Err(RefusedFault { pointer: String::new(), detail: "this server can't inject faults".to_owned() })
    }

    fn add(&self, _: &[Value]) -> FaultGuard {
        Box::new(())
    }
}
