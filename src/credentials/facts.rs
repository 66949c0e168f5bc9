//! What is known of a source from outside.

use super::cache::CacheHits;
use std::fmt;
use std::sync::Arc;

/// What those who watch may know of a source.
#[derive(Clone)]
pub(crate) struct SourceFacts {
    /// The label of `credential_type`.
    pub(crate) credential_type: &'static str,
    /// Looked up when it is asked for: a key may be made late, or be replaced.
    pub(super) fingerprint: Option<Arc<dyn Fn() -> Option<[u8; 32]> + Send + Sync>>,
    pub(super) hits: CacheHits,
}

impl SourceFacts {
    pub(super) fn new(credential_type: &'static str) -> Self {
        Self { credential_type, fingerprint: None, hits: CacheHits::default() }
    }

    /// The hash of the signing key's public half, if there is a key and it is made already.
    pub(crate) fn spki_sha256(&self) -> Option<[u8; 32]> {
        self.fingerprint.as_ref().and_then(|look| look())
    }

    /// Tokens that came from the cache.
    pub(crate) fn cache_hits(&self) -> u64 {
        self.hits.count()
    }
}

impl fmt::Debug for SourceFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFacts").field("credential_type", &self.credential_type).finish_non_exhaustive()
    }
}
