//! The events of the token path, for monitoring. A receiver can't change the behaviour of the path.

use gce_metadata_routes::token::TokenError;
use std::sync::Arc;
use std::time::Duration;

/// A receiver of the events of the token path. Every method does nothing by default; `()` ignores all events.
pub trait TokenEvents: Send + Sync {
    /// A request for a token was answered, from the cache or by the source. A request whose client disconnected before
    /// is not reported.
    fn requested(&self, outcome: &TokenOutcome<'_>) {
        _ = outcome;
    }

    /// Returns whether [`requested`](Self::requested) does nothing, so that the path can skip its call and reads no
    /// clock. The result must not change.
    fn ignores_requests(&self) -> bool {
        false
    }

    /// The source answered a fetch. Background refreshes, probes and fetches whose clients disconnected are reported
    /// too.
    fn fetched(&self, outcome: &TokenOutcome<'_>) {
        _ = outcome;
    }

    /// The source made a new token. `kind` is `access` or `identity`.
    fn minted(&self, account: &str, kind: &'static str, lifetime: Duration) {
        _ = (account, kind, lifetime);
    }

    /// The tokens of an account were evicted, because it lost its credentials or has those of another identity.
    fn evicted(&self, account: &str) {
        _ = account;
    }

    /// Credentials files changed and were reloaded. `ok` is whether the reload succeeded.
    fn reloaded(&self, ok: bool) {
        _ = ok;
    }
}

impl TokenEvents for () {
    fn ignores_requests(&self) -> bool {
        true
    }
}

/// A shared receiver of events.
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
    /// The error; `None` if there is a token.
    pub error: Option<&'a TokenError>,
    /// The duration of the request or fetch.
    pub latency: Duration,
}

impl<'a> TokenOutcome<'a> {
    /// A successful outcome.
    #[must_use]
    pub fn new(account: &'a str, kind: &'static str, source: &'static str, latency: Duration) -> Self {
        Self { account, kind, source, error: None, latency }
    }

    /// Sets the error.
    #[must_use]
    pub fn failed(self, error: &'a TokenError) -> Self {
        Self { error: Some(error), ..self }
    }
}
