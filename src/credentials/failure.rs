//! Why there is no token, with what those between the source and its client make of it.

use gce_metadata_routes::token::TokenError;
#[cfg(feature = "live")]
use http::StatusCode;
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How long a source may ask not to be asked again. It may be well again sooner.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Why a source made no token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Failure {
    /// What is answered for it.
    pub error: TokenError,
    /// When the source is to be asked again, if it said so.
    pub not_before: Option<Instant>,
    /// What somebody else answered the source.
    #[cfg(feature = "live")]
    pub(super) status: Option<StatusCode>,
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Self {
            error,
            not_before: None,
            #[cfg(feature = "live")]
            status: None,
        }
    }
}

impl From<Failure> for TokenError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
