//! Where tokens come from. What the command line and the environment ask for becomes a pair of token services, once, at
//! start; nothing later asks which it was.

mod cache;
mod failure;
mod fixed;
mod kind;
#[cfg(feature = "live")]
mod live;
mod observe;
mod offline;

pub use cache::{CacheHits, CacheTokens, CacheTokensLayer};
pub use failure::Failure;
pub use kind::{Token, TokenRequest};
#[cfg(feature = "live")]
pub use live::{AccessTokenKind, AwsEnvironment, CredentialError, Endpoints, LiveOptions, LiveSource};
pub use offline::OfflineOptions;

use crate::metrics::Metrics;
use crate::signer::KeyError;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::token::{AccessTokenSource, IdTokenSource, Secret, TokenError};
use gce_metadata_routes::{Reader, TokenSources};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tower::ServiceExt;

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
    /// Tokens that Google accepts.
    #[cfg(feature = "live")]
    Live(Box<LiveOptions>),
}

#[cfg(feature = "live")]
impl From<LiveOptions> for CredentialSource {
    fn from(options: LiveOptions) -> Self {
        Self::Live(Box::new(options))
    }
}

/// Why a source could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The offline issuer has no key.
    #[error("offline issuer: {0}")]
    Key(KeyError),
    /// The credentials can't be used.
    #[cfg(feature = "live")]
    #[error("credentials: {0}")]
    Credentials(CredentialError),
}

// Not by `#[from]`, which would name a source: whoever prints the chain would say it twice.
impl From<KeyError> for SourceError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

#[cfg(feature = "live")]
impl From<CredentialError> for SourceError {
    fn from(error: CredentialError) -> Self {
        Self::Credentials(error)
    }
}

impl Default for CredentialSource {
    fn default() -> Self {
        Self::Offline(OfflineOptions::default())
    }
}

/// A path, and what stands at its end.
pub(crate) type Route = (&'static str, Arc<dyn Endpoint>);

/// Looks after what is served of this metadata, for as long as it is polled.
pub(crate) type Attend = Arc<dyn Fn(Reader) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What a source brings along.
pub(crate) struct Credentials {
    /// The token services.
    pub(crate) tokens: TokenSources,
    /// Routes beside the metadata, such as the keys that verify an identity token.
    pub(crate) routes: Vec<Route>,
    /// What metrics tell of it.
    pub(crate) facts: SourceFacts,
    /// Whose they are, for a config that has no account.
    pub(crate) default_email: Option<String>,
    /// Who looks after it while it is served.
    pub(crate) attend: Option<Attend>,
    /// What whoever runs the server should know of it, for the log.
    pub(crate) advice: Option<&'static str>,
}

/// What those who watch may know of a source.
#[derive(Clone)]
pub(crate) struct SourceFacts {
    /// The label of `credential_type`.
    pub(crate) credential_type: &'static str,
    /// Looked up when it is asked for: a key may be made late, or be replaced.
    fingerprint: Option<Arc<dyn Fn() -> Option<[u8; 32]> + Send + Sync>>,
    hits: CacheHits,
}

impl SourceFacts {
    fn new(credential_type: &'static str) -> Self {
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

impl Credentials {
    /// Services of the embedder's own.
    pub(crate) fn given(tokens: TokenSources, metrics: Option<&Metrics>) -> Self {
        let tokens = TokenSources {
            access: tokens.access.map(|it| {
                AccessTokenSource::new(observe::watched(it, "given", metrics.cloned()).map_err(TokenError::from))
            }),
            id: tokens.id.map(|it| {
                IdTokenSource::new(observe::watched(it, "given", metrics.cloned()).map_err(TokenError::from))
            }),
        };
        let tokens = observe::counted(tokens, "given", metrics);
        Self::plain(tokens, "Given")
    }

    /// Tokens, and nothing beside them.
    fn plain(tokens: TokenSources, credential_type: &'static str) -> Self {
        let facts = SourceFacts::new(credential_type);
        Self { tokens, routes: Vec::new(), facts, default_email: None, attend: None, advice: None }
    }
}

impl CredentialSource {
    /// The token services of this source, for a stack of the caller's own. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the source has no key, or no credentials that can be used.
    pub fn token_sources(self) -> Result<TokenSources, SourceError> {
        self.open(None, None).map(|credentials| credentials.tokens)
    }

    /// Makes the token services, which make no more access tokens than `limit` admits. Must be called in a tokio runtime: a
    /// key may be made in the background.
    pub(crate) fn open(
        self,
        metrics: Option<&Metrics>,
        limit: Option<Arc<RateLimit>>,
    ) -> Result<Credentials, SourceError> {
        match self {
            Self::Fixed { access_token, id_token } => {
                let tokens =
                    TokenSources { access: access_token.map(fixed::access_tokens), id: id_token.map(fixed::id_tokens) };
                let tokens = observe::counted(tokens, "fixed", metrics);
                Ok(Credentials::plain(tokens, "Static"))
            }
            Self::Offline(options) => Ok(offline::open(options, metrics, limit)?),
            #[cfg(feature = "live")]
            Self::Live(options) => Ok(live::open(*options, metrics, limit)?),
        }
    }
}
