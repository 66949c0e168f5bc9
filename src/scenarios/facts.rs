//! Facts about the server that a built-in scenario depends on.

use super::error::ScenarioError;
use crate::journal::Journal;
use crate::request_pattern::RequestView;
use std::time::SystemTime;

/// Facts about the server when a run is started.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// `None` without a journal.
    pub(super) journal: Option<&'a Journal>,
    /// The end of the last run that changed `instance/maintenance-event`; `None` before the first.
    pub(super) last_maintenance: Option<SystemTime>,
}

impl Facts<'_> {
    /// Whether a program has asked for `instance/maintenance-event` since the last maintenance event, alone or by recursion.
    ///
    /// # Errors
    /// If the server keeps no journal.
    pub(super) fn maintenance_was_asked(&self) -> Result<bool, ScenarioError> {
        let Some(journal) = self.journal else {
            let detail = "this needs the journal of requests, which is off: --journal-entries is 0";
            return Err(ScenarioError::invalid("/parameters/strict", detail));
        };
        let is_after = |received| self.last_maintenance.is_none_or(|last| received > last);
        let asks = |key: &str, is_recursive| match key.trim_matches('/') {
            "instance/maintenance-event" => true,
            "" | "instance" => is_recursive,
            _ => false,
        };
        Ok(journal.entries().iter().any(|entry| {
            let mut parameters = entry.parameters().into_iter();
            let is_recursive =
                parameters.any(|(name, value)| name == "recursive" && value.eq_ignore_ascii_case("true"));
            is_after(entry.received) && entry.key().is_some_and(|key| asks(&key, is_recursive))
        }))
    }
}
