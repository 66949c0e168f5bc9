//! Public documents of identity providers, such as the keys that verify their tokens.

use super::upstream::Upstream;
use bytes::Bytes;
use gce_metadata_routes::token::TokenError;
use http::Method;

/// A document can't be fetched. The text names the host and the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DocumentError(String);

/// GETs a public document over HTTP or HTTPS, as the live source sends its requests: it trusts the system's root certificates, and
/// retries for at most 30 seconds.
///
/// # Errors
/// If the host does not answer with success.
pub async fn get_document(url: &str) -> Result<Bytes, DocumentError> {
    Upstream::new().fetch(Method::GET, url, []).await.map_err(|failure| {
        DocumentError(match failure.error {
            TokenError::Refused { reason } | TokenError::Unavailable { reason } => reason,
            other => other.to_string(),
        })
    })
}
