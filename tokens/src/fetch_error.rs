//! Why a source made no token, with what the layers above it need to know beside the error.

use gce_metadata_routes::token::TokenError;
#[cfg(feature = "live")]
use http::StatusCode;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// The longest Retry-After that is respected. A source may recover sooner than it said.
pub(super) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Why a source made no token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FetchError {
    /// The error that the request is answered with.
    pub error: TokenError,
    /// The end of the source's Retry-After, if it sent one.
    pub retry_at: Option<Instant>,
    /// The status of the answer, if there was one.
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
