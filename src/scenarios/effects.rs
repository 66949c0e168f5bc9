//! The effects of a state other than metadata, as ports: the engine knows neither how faults are injected nor how a listener refuses
//! connections.

use serde_json::Value;
use std::fmt;

/// Whether clients reach the metadata server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reachability {
    /// The server answers.
    #[default]
    Reachable,
    /// New connections are refused, and open ones are reset.
    Refused,
    /// Each request is answered 503.
    Unavailable,
    /// Connections are accepted and never answered.
    Hanging,
}

impl Reachability {
    /// Parses `true`, `false` (as `"refuse"`), `"refuse"`, `"503"` or `"hang"`; `None` for anything else.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(true) => Self::Reachable,
            Value::Bool(false) => Self::Refused,
            Value::String(word) if word == "refuse" => Self::Refused,
            Value::String(word) if word == "503" => Self::Unavailable,
            Value::String(word) if word == "hang" => Self::Hanging,
            _ => return None,
        })
    }

    pub(super) fn json(self) -> Value {
        match self {
            Self::Reachable => true.into(),
            Self::Refused => false.into(),
            Self::Unavailable => "503".into(),
            Self::Hanging => "hang".into(),
        }
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
