//! The error of a fault that can't be used.

use crate::request_pattern::PatternError;

/// Why a fault can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{detail}", .pointer, if .pointer.is_empty() { "" } else { ": " })]
pub struct FaultError {
    pub(crate) pointer: String,
    pub(crate) detail: String,
}

impl FaultError {
    pub(super) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }

    /// JSON pointer of the member that is wrong; empty for the whole document.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// The fault and the remedy.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<PatternError> for FaultError {
    fn from(error: PatternError) -> Self {
        Self { pointer: error.pointer, detail: error.detail }
    }
}
