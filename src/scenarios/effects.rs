//! The effects of a state other than metadata: whether clients reach the server, and faults, through a port.

use crate::faults::{Definition, FaultError, Faults};
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
pub(crate) trait FaultPort: fmt::Debug + Send + Sync {
    /// Checks a stub mapping.
    ///
    /// # Errors
    /// If it can't be used.
    fn check(&self, mapping: &Value) -> Result<(), FaultError>;

    /// Adds these faults. Dropping the guard removes them.
    ///
    /// # Errors
    /// If a fault can't be used, or if there are too many. None is added then.
    fn add(&self, mappings: &[Value]) -> Result<FaultGuard, FaultError>;
}

/// Faults that are in force until this is dropped.
pub(crate) type FaultGuard = Box<dyn Send>;

impl FaultPort for Faults {
    fn check(&self, mapping: &Value) -> Result<(), FaultError> {
        Definition::parse(mapping, "").map(|_| ())
    }

    fn add(&self, mappings: &[Value]) -> Result<FaultGuard, FaultError> {
        let mut added = Added { faults: self.clone(), ids: Vec::new() };
        for mapping in mappings {
            let document = self.insert(Definition::parse(mapping, "")?)?;
            added.ids.extend(document["id"].as_str().map(str::to_owned));
        }
        Ok(Box::new(added))
    }
}

/// Removes faults when it is dropped.
struct Added {
    faults: Faults,
    ids: Vec<String>,
}

impl Drop for Added {
    fn drop(&mut self) {
        for id in &self.ids {
            self.faults.remove(id);
        }
    }
}
