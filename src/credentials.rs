//! Where tokens come from. What the command line and the environment ask for becomes a pair of token services, once, at
//! start; nothing later asks which it was.

mod cache;
mod facts;
mod failure;
mod fixed;
mod kind;
#[cfg(feature = "live")]
mod live;
mod observe;
mod offline;

#[cfg(test)]
pub(crate) use cache::clock::moved;
pub(crate) use cache::clock::{Clock, Moment};
pub(crate) use facts::SourceFacts;

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

/// A source that is open: its tokens, and what it brings along beside them.
pub struct Credentials {
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

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The token services.
    pub fn tokens(&self) -> TokenSources {
        self.tokens.clone()
    }

    /// Routes beside the metadata, for [`Router::with_route`](gce_metadata_routes::Router::with_route): the public keys and the
    /// discovery document of an issuer that nobody else knows. Sources that others vouch for have none.
    pub fn routes(&self) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
        self.routes.clone()
    }

    /// Whose the credentials are, if they say so of a single account.
    pub fn default_email(&self) -> Option<&str> {
        self.default_email.as_deref()
    }

    /// Looks after what is served of this metadata, for as long as it is polled: it takes over credentials files that change,
    /// and tells the log which accounts get tokens. It ends at once if there is nothing to look after.
    pub fn attend(&self, reader: Reader) -> impl Future<Output = ()> + Send + 'static + use<> {
        let attending = self.attend.as_ref().map(|attend| attend(reader));
        async move {
            if let Some(attending) = attending {
                attending.await;
            }
        }
    }

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
    /// Opens it, for a stack of the caller's own. Must be called in a tokio runtime.
    ///
    /// ```
    /// use gce_metadata_server::routes::Router;
    /// use gce_metadata_server::{CredentialSource, Metadata, Publisher};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = Publisher::new(Metadata::sample().tree());
    /// let credentials = CredentialSource::default().open()?;
    /// tokio::spawn(credentials.attend(publisher.reader()));
    /// let mut router = Router::new(publisher, credentials.tokens());
    /// for (path, endpoint) in credentials.routes() {
    ///     router = router.with_route(path, endpoint)?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the source has no key, or no credentials that can be used.
    pub fn open(self) -> Result<Credentials, SourceError> {
        self.open_with(None, None)
    }

    /// The token services alone. What [`open`](Self::open) has beside them is left out: nobody can fetch the keys that verify
    /// the offline issuer's identity tokens, and changes of credentials files go unnoticed.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn token_sources(self) -> Result<TokenSources, SourceError> {
        self.open().map(|credentials| credentials.tokens)
    }

    /// Opens it for a server that counts, and makes no more access tokens than `limit` admits.
    pub(crate) fn open_with(
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
