//! Where tokens come from. What the command line and the environment ask for becomes a pair of token services, once, at
//! start; nothing later asks which it was.

mod cache;
mod fixed;
mod offline;

pub use cache::{CacheTokens, CacheTokensLayer};
pub use offline::OfflineOptions;

use crate::signer::KeyError;
use gce_metadata_routes::TokenSources;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::token::Secret;
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
}

impl CredentialSource {
    /// The token services of this source, for a stack of the caller's own. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the source has no key.
    pub fn token_sources(self) -> Result<TokenSources, KeyError> {
        self.open().map(|credentials| credentials.tokens)
    }

    /// Makes the token services. Must be called in a tokio runtime: a key may be made in the background.
    pub(crate) fn open(self) -> Result<Credentials, KeyError> {
        match self {
            Self::Fixed { access_token, id_token } => {
                let tokens =
                    TokenSources { access: access_token.map(fixed::access_tokens), id: id_token.map(fixed::id_tokens) };
                Ok(Credentials { tokens, routes: Vec::new() })
            }
            Self::Offline(options) => offline::open(options),
        }
    }
}
