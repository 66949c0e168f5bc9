//! Facts about an open source for metrics and health checks.

use super::cache::CacheHits;
use super::health::SourceHealth;
use std::fmt;
use std::sync::Arc;

/// Facts about an open source, which metrics and health checks read at each scrape.
#[derive(Clone)]
pub struct SourceInfo {
    /// The label of `credential_type`.
    pub(super) credential_type: &'static str,
    /// Looks up the hash of the signing key at each call, because the key may be generated late or replaced.
    pub(super) fingerprint: Option<Arc<dyn Fn() -> Option<[u8; 32]> + Send + Sync>>,
    pub(super) hits: CacheHits,
    /// The health of each account.
    pub(super) health: SourceHealth,
}

impl SourceInfo {
    pub(super) fn new(credential_type: &'static str) -> Self {
        Self { credential_type, fingerprint: None, hits: CacheHits::default(), health: SourceHealth::default() }
    }

    /// Returns the type of the credentials, which is the label `credential_type` of metrics.
    pub fn credential_type(&self) -> &'static str {
        self.credential_type
    }

    /// Returns the health of each account.
    pub fn health(&self) -> &SourceHealth {
        &self.health
    }

    /// Returns the SHA-256 of the signing key's SubjectPublicKeyInfo in DER; `None` if the source has no key, or not
    /// yet.
    pub fn spki_sha256(&self) -> Option<[u8; 32]> {
        self.fingerprint.as_ref().and_then(|look| look())
    }

    /// Returns the number of cache hits.
    pub fn cache_hits(&self) -> u64 {
        self.hits.count()
    }
}

impl fmt::Debug for SourceInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceInfo").field("credential_type", &self.credential_type).finish_non_exhaustive()
    }
}
