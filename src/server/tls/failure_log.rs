//! Logs failures of clients, rate-limited for each reason: a client that fails in a loop must not fill the log.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// At most one line per reason is logged in this time.
const WINDOW: Duration = Duration::from_secs(10);

/// Logs failures of clients. Each reason has its own limit.
#[derive(Debug)]
pub(super) struct FailureLog {
    what: &'static str,
    reasons: Mutex<HashMap<&'static str, Window>>,
}

#[derive(Debug)]
struct Window {
    begun: Instant,
    /// Failures since then that were not logged.
    suppressed: u64,
}

impl FailureLog {
    /// `what` begins each log line.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, reasons: Mutex::default() }
    }

    /// Logs a failure as a warning, with the number of suppressed failures since the last line for this reason.
    pub(super) fn warn(&self, reason: &'static str, remote: Option<SocketAddr>, error: impl fmt::Display) {
        if let Some(suppressed) = self.admit(reason) {
            let remote = remote.map(tracing::field::display);
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::warn!(reason, remote, suppressed, "{}: {error}", self.what);
        }
    }

    /// The number of suppressed failures; `None` if this failure is suppressed too.
    fn admit(&self, reason: &'static str) -> Option<u64> {
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match reasons.get_mut(reason) {
            Some(window) if now.duration_since(window.begun) < WINDOW => {
                window.suppressed += 1;
                None
            }
            Some(window) => Some(std::mem::replace(window, Window { begun: now, suppressed: 0 }).suppressed),
            None => {
                reasons.insert(reason, Window { begun: now, suppressed: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_log::CapturedLog;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn one_line_per_reason_is_logged_in_ten_seconds_with_the_number_of_suppressed_failures() {
        let captured = CapturedLog::start();
        let log = FailureLog::new("TLS handshake failed");
        let remote = Some(([192, 0, 2, 1], 5555).into());
        for _ in 0..1000 {
            log.warn("expired", remote, "certificate expired");
        }
        log.warn("revoked", None, "certificate revoked");
        let lines = captured.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].contains("WARN") && lines[0].contains("TLS handshake failed: certificate expired"),
            "{lines:?}"
        );
        assert!(lines[0].contains("reason=\"expired\"") && lines[0].contains("remote=192.0.2.1:5555"), "{lines:?}");
        assert!(!lines[0].contains("suppressed"), "{lines:?}");

        advance(WINDOW - Duration::from_millis(1)).await;
        log.warn("expired", remote, "certificate expired");
        assert_eq!(captured.lines().len(), 2);
        advance(Duration::from_millis(1)).await;
        log.warn("expired", remote, "certificate expired");
        log.warn("revoked", None, "certificate revoked");
        let lines = captured.lines();
        assert!(lines.len() == 4 && lines[2].contains("suppressed=1000"), "{lines:?}");
        assert!(!lines[3].contains("suppressed") && !lines[3].contains("remote"), "{lines:?}");
    }
}
