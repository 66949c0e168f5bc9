//! The events of the token path, for monitoring. Monitoring is told and never decides: nothing here changes what the path does.

use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use std::time::Duration;

/// Receives the events of the token path. Methods that are not implemented do nothing; `()` ignores every event.
pub trait TokenEvents: Send + Sync {
    /// A request for a token was answered, from the cache or by the source. A request whose client left before that does not
    /// count.
    fn requested(&self, outcome: &TokenOutcome<'_>) {
        _ = outcome;
    }

    /// Whether [`requested`](Self::requested) does nothing, so that it need not be called. The answer must not change.
    fn ignores_requests(&self) -> bool {
        false
    }

    /// The source answered a fetch, whether or not a request still waits for it: refreshes and probes count.
    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        _ = outcome;
    }

    /// The source made a new token of this kind (`access` or `identity`) with this lifetime.
    fn minted(&self, account: &str, kind: &'static str, lifetime: Duration) {
        _ = (account, kind, lifetime);
    }

    /// The tokens of this account were evicted, because its credentials are gone or those of another identity.
    fn evicted(&self, account: &str) {
        _ = account;
    }

    /// Credentials files changed and were reloaded, successfully or not.
    fn reloaded(&self, ok: bool) {
        _ = ok;
    }
}

impl TokenEvents for () {
    fn ignores_requests(&self) -> bool {
        true
    }
}

/// Where a token path sends its events.
pub type SharedTokenEvents = Arc<dyn TokenEvents>;

/// The outcome of a request or of a fetch.
#[derive(Debug)]
#[non_exhaustive]
pub struct TokenOutcome<'a> {
    /// The e-mail of the account.
    pub account: &'a str,
    /// `access` or `identity`.
    pub kind: &'static str,
    /// The name of the source, such as `live`.
    pub source: &'static str,
    /// Why there is no token, if there is none.
    pub error: Option<&'a TokenError>,
    /// How long it took.
    pub latency: Duration,
}

impl<'a> TokenOutcome<'a> {
    /// A token, after so long.
    pub fn new(account: &'a str, kind: &'static str, source: &'static str, latency: Duration) -> Self {
        Self { account, kind, source, error: None, latency }
    }

    /// The same, but this error instead of a token.
    pub fn failed(self, error: &'a TokenError) -> Self {
        Self { error: Some(error), ..self }
    }
}
