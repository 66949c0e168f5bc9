//! The error of a source, with facts for the layers above it: Retry-After and HTTP status.

use gce_metadata_routes::token::TokenError;
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

impl FetchError {
    /// The error of a source that answers with this status, and with Retry-After if it is given. Most statuses from 400 to 499 are
    /// permanent, others are temporary. `reason` must not contain secrets.
    pub fn from_status(status: StatusCode, reason: String, retry_after: Option<Duration>) -> Self {
        let is_transient = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
        let error = if status.is_client_error() && !is_transient {
            TokenError::Refused { reason }
        } else {
            TokenError::Unavailable { reason }
        };
        Self {
            error,
            // Limited first: `Instant` overflows if a host sends a huge number.
            retry_at: retry_after.map(|wait| Instant::now() + wait.min(MAX_RETRY_AFTER)),
            #[cfg(feature = "live")]
            status: Some(status),
        }
    }
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
