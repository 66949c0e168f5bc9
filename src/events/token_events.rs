//! Reports the events of the token path, without tokens.

use super::{EventKind, Events};
use crate::metrics::outcome_label;
use gce_metadata_tokens::{SharedTokenEvents, TokenEvents, TokenOutcome};
use serde_json::{Value, json};
use std::time::Duration;

/// Reports the events of the token path to the log and to another receiver.
pub(crate) struct ReportTokens {
    events: Events,
    other: SharedTokenEvents,
}

impl ReportTokens {
    pub(crate) fn new(events: Events, other: SharedTokenEvents) -> Self {
        Self { events, other }
    }

    fn emit(&self, data: impl FnOnce() -> Value) {
        self.events.emit(EventKind::Token, data);
    }
}

impl TokenEvents for ReportTokens {
    fn requested(&self, outcome: &TokenOutcome<'_>) {
        self.emit(|| json_of("requested", outcome));
        self.other.requested(outcome);
    }

    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        self.emit(|| json_of("fetched", outcome));
        self.other.fetched(outcome);
    }

    fn minted(&self, account: &str, kind: &'static str, lifetime: Duration) {
        self.emit(|| json!({"action": "made", "account": account, "kind": kind, "lifetime": lifetime.as_secs()}));
        self.other.minted(account, kind, lifetime);
    }

    fn evicted(&self, account: &str) {
        self.emit(|| json!({"action": "evicted", "account": account}));
        self.other.evicted(account);
    }

    fn reloaded(&self, ok: bool) {
        let outcome = if ok { "ok" } else { "bad" };
        self.emit(|| json!({"action": "reloaded", "outcome": outcome}));
        self.other.reloaded(ok);
    }
}

fn json_of(action: &str, outcome: &TokenOutcome<'_>) -> Value {
    json!({
        "action": action,
        "account": outcome.account,
        "kind": outcome.kind,
        "source": outcome.source,
        "outcome": outcome_label(outcome.error),
        "milliseconds": u64::try_from(outcome.latency.as_millis()).unwrap_or(u64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Log, LogStream, Record};
    use gce_metadata_routes::token::TokenError;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl TokenEvents for Count {
        fn requested(&self, _: &TokenOutcome<'_>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }

        fn evicted(&self, _: &str) {
            self.0.fetch_add(10, Ordering::SeqCst);
        }
    }

    #[test]
    fn events_of_tokens_are_reported_to_the_log_and_to_the_other_receiver() {
        let log = Log::new(0);
        let stream = LogStream::new(&log, None).unwrap();
        let count = Arc::new(Count::default());
        let report = ReportTokens::new(Events::new(Some(log)), count.clone());
        let outcome = TokenOutcome::new("a@example.com", "access", "offline", Duration::from_millis(5));
        report.requested(&outcome.failed(&TokenError::Unavailable { reason: "down".into() }));
        report.minted("a@example.com", "identity", Duration::from_secs(60));
        report.evicted("a@example.com");
        let data = stream.available(9).into_iter().map(|item| match item.record {
            Record::Event(event) => event.data.clone(),
            other => panic!("{other:?}"),
        });
        let data: Vec<_> = data.collect();
        let account = "a@example.com";
        assert_eq!(
            data[0],
            json!({"action": "requested", "account": account, "kind": "access", "source": "offline",
            "outcome": "unavailable", "milliseconds": 5})
        );
        assert_eq!(data[1], json!({"action": "made", "account": account, "kind": "identity", "lifetime": 60}));
        assert_eq!(data[2], json!({"action": "evicted", "account": account}));
        assert_eq!(count.0.load(Ordering::SeqCst), 11);
        assert!(!report.ignores_requests());
    }
}
