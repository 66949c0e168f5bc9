//! Where tokens come from. What the command line and the environment ask for becomes a pair of token services, once, at
//! start; nothing later asks which it was.

mod cache;
mod fixed;
mod observe;
mod offline;

pub use cache::{CacheHits, CacheTokens, CacheTokensLayer};
pub use offline::OfflineOptions;

use crate::metrics::Metrics;
use crate::signer::KeyError;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::token::Secret;
use std::fmt;
use std::sync::Arc;

/// The source that was asked for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Tokens that somebody else made, served as they are for the default account. Either alone is enough for its
    /// endpoint; the other one answers 404.
    Fixed {
        /// For `token`.
        access_token: Option<Secret>,
        /// For `identity`.
        id_token: Option<Secret>,
    },
    /// Tokens of this server's own making, which no Google API accepts.
    Offline(OfflineOptions),
}

impl Default for CredentialSource {
    fn default() -> Self {
        Self::Offline(OfflineOptions::default())
    }
}

/// What a source brings along.
pub(crate) struct Credentials {
    /// The token services.
    pub(crate) tokens: TokenSources,
    /// Routes beside the metadata, such as the keys that verify an identity token.
    pub(crate) routes: Vec<(&'static str, Arc<dyn Endpoint>)>,
    /// What metrics tell of it.
    pub(crate) identity: Identity,
}

/// What those who watch may know of a source.
#[derive(Clone)]
pub(crate) struct Identity {
    /// The label of `credential_type`.
    pub(crate) credential_type: &'static str,
    key: Option<offline::Key>,
    hits: CacheHits,
}

impl Identity {
    fn new(credential_type: &'static str) -> Self {
        Self { credential_type, key: None, hits: CacheHits::default() }
    }

    /// The hash of the signing key's public half, if there is a key and it is made already.
    pub(crate) fn spki_sha256(&self) -> Option<[u8; 32]> {
        self.key.as_ref().and_then(offline::Key::spki_sha256)
    }

    /// Tokens that came from the cache.
    pub(crate) fn cache_hits(&self) -> u64 {
        self.hits.count()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("credential_type", &self.credential_type).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Services of the embedder's own.
    pub(crate) fn given(tokens: TokenSources, metrics: Option<&Metrics>) -> Self {
        let tokens = observe::counted(tokens, "given", metrics);
        Self { tokens, routes: Vec::new(), identity: Identity::new("Given") }
    }
}

impl CredentialSource {
    /// The token services of this source, for a stack of the caller's own. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the source has no key.
    pub fn token_sources(self) -> Result<TokenSources, KeyError> {
        self.open(None).map(|credentials| credentials.tokens)
    }

    /// Makes the token services. Must be called in a tokio runtime: a key may be made in the background.
    pub(crate) fn open(self, metrics: Option<&Metrics>) -> Result<Credentials, KeyError> {
        match self {
            Self::Fixed { access_token, id_token } => {
                let tokens =
                    TokenSources { access: access_token.map(fixed::access_tokens), id: id_token.map(fixed::id_tokens) };
                let tokens = observe::counted(tokens, "fixed", metrics);
                Ok(Credentials { tokens, routes: Vec::new(), identity: Identity::new("Static") })
            }
            Self::Offline(options) => offline::open(options, metrics),
        }
    }
}
