//! The error of a source, with facts for the layers above it: Retry-After and HTTP status.

use gce_metadata_routes::token::TokenError;
#[cfg(feature = "live")]
use http::StatusCode;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The upper limit of Retry-After. A source may recover sooner than it announced.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// The error of a fetch from a source.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchError {
    /// The error to answer requests with.
    pub error: TokenError,
    /// The end of the source's Retry-After, if it sent one. The cache makes no fetch before, for at most five minutes.
    pub retry_at: Option<Instant>,
    /// The HTTP status of the source's answer, if it answered.
    #[cfg(feature = "live")]
    pub(super) status: Option<StatusCode>,
}

impl From<TokenError> for FetchError {
    fn from(error: TokenError) -> Self {
        Self {
            error,
            retry_at: None,
            #[cfg(feature = "live")]
            status: None,
        }
    }
}

impl From<FetchError> for TokenError {
    fn from(failure: FetchError) -> Self {
        failure.error
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
