//! Counts the answers of the server, for the log line at the end of `exec`.

use crate::cli::target::Target;
use gce_metadata_server::layers::{Answered, Record};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The number of answers by status. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Record for Summary {
    fn record(&self, answered: &Answered<'_>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(answered.status.as_u16()).or_default() += 1;
    }
}

impl Summary {
    /// Logs the summary at level info.
    pub(super) fn log(&self, server: &Target) {
        tracing::info!("the command has ended; http://{server} answered {}", self.text());
    }

    fn text(&self) -> String {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let by_status: Vec<_> = counts.iter().map(|(status, count)| format!("{count} with status {status}")).collect();
        match counts.values().sum() {
            0_u64 => "no request: the command did not ask the metadata server".to_owned(),
            1 => format!("1 request: {}", by_status.join(", ")),
            sum => format!("{sum} requests: {}", by_status.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_status() {
        let summary = Summary::default();
        assert!(summary.text().starts_with("no request"));
        summary.0.lock().unwrap().extend([(200, 3), (404, 1)]);
        assert_eq!(summary.text(), "4 requests: 3 with status 200, 1 with status 404");
    }
}
