//! Sources of Google Cloud tokens, as pairs of tower services: one of access tokens, one of identity tokens.
//!
//! A [`CredentialSource`] is fixed tokens, the offline issuer, or (with the feature `live`) credentials of any kind that Google gives
//! out. Opened, it is [`Credentials`]; no code after that depends on which source it is. All of them share one path of layers, in
//! `stack.rs`: metrics, cache, limit, log.
//!
//! # Features
//!
//! - `live`: tokens that Google accepts, and the HTTPS client for them.
//! - `tpm`: keys in a Trusted Platform Module. It includes `live`, and links tpm2-tss, which must be installed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cache;
mod events;
mod fetch_error;
mod fixed;
mod health;
mod limit_uncached;
#[cfg(feature = "live")]
mod live;
mod log_tokens;
mod offline;
mod record_fetches;
mod record_token_requests;
mod source_info;
mod stack;
mod token_request;

#[doc(hidden)]
pub mod follow;

pub use cache::{CacheHits, CacheTokens, CacheTokensLayer};
pub use events::{SharedTokenEvents, TokenEvents, TokenOutcome};
pub use fetch_error::FetchError;
pub use health::SourceHealth;
#[cfg(feature = "live")]
pub use live::{AccessTokenKind, AwsEnvironment, CredentialError, Endpoints, LiveOptions, LiveSource};
pub use offline::OfflineOptions;
pub use source_info::SourceInfo;
pub use token_request::{Token, TokenRequest};

use fixed::FixedTokens;
use gce_metadata_layers::RateLimit;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::token::{AccessTokenRequest, AccessTokenSource, IdTokenRequest, IdTokenSource, Secret};
use gce_metadata_routes::{Reader, TokenSources};
use gce_metadata_signer::KeyError;
use stack::{Answers, TokenStack};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tower::layer::util::Identity;
use tower::{ServiceExt, service_fn};

/// Which source of tokens to open.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Fixed tokens, served as they are for the default account. Each is optional: an endpoint without one answers 404.
    Fixed {
        /// The answer of `token`.
        access_token: Option<Secret>,
        /// The answer of `identity`.
        id_token: Option<Secret>,
    },
    /// Tokens that this server makes itself, which no Google API accepts.
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

// Not by `#[from]`, which would set `source()`: a chain of errors would print the cause twice.
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

/// A path and its endpoint.
type Route = (&'static str, Arc<dyn Endpoint>);

/// Looks after the accounts of this metadata, for as long as it is polled.
type Attend = Arc<dyn Fn(Reader) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// An open source: its token services, and what belongs to them.
pub struct Credentials {
    /// The token services.
    tokens: TokenSources,
    /// Routes beside the metadata, such as the keys that verify an identity token.
    routes: Vec<Route>,
    /// What metrics and health checks read.
    info: SourceInfo,
    /// The account of the credentials, for a config without accounts.
    default_email: Option<String>,
    /// The task that looks after the source while it is served.
    attend: Option<Attend>,
    /// A hint for the log at the start.
    advice: Option<&'static str>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The token services.
    pub fn tokens(&self) -> TokenSources {
        self.tokens.clone()
    }

    /// Routes beside the metadata, for [`Router::with_route`](gce_metadata_routes::Router::with_route): the public keys and the
    /// discovery document of the offline issuer. Other sources have none.
    pub fn routes(&self) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
        self.routes.clone()
    }

    /// What metrics and health checks read.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// A hint for the log at the start, if the source has one.
    pub fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// The e-mail of the account that the credentials belong to, if they name exactly one.
    pub fn default_email(&self) -> Option<&str> {
        self.default_email.as_deref()
    }

    /// Looks after the accounts of this metadata, for as long as it is polled: reloads credentials files that change, logs which
    /// accounts get tokens, and probes those that don't. It ends at once for sources that need none of this.
    pub fn attend(&self, reader: Reader) -> impl Future<Output = ()> + Send + 'static + use<> {
        let attending = self.attend.as_ref().map(|attend| attend(reader));
        async move {
            if let Some(attending) = attending {
                attending.await;
            }
        }
    }

    /// Token services of the caller's own, whose requests and answers are reported to `events`.
    pub fn given(tokens: TokenSources, events: &SharedTokenEvents) -> Self {
        let info = SourceInfo::new("Given");
        let stack = TokenStack::new("given", Answers::Any, Arc::clone(events), info.health.clone());
        // Readiness is part of the fetch, so that it is timed and its failure reported.
        let access = tokens.access.map(|source| service_fn(move |request| source.clone().oneshot(request)));
        let id = tokens.id.map(|source| service_fn(move |request| source.clone().oneshot(request)));
        Self::plain(
            TokenSources {
                access: access.map(|it| {
                    AccessTokenSource::new(stack.clone().service::<AccessTokenRequest, _, _>(Identity::new(), it))
                }),
                id: id.map(|it| IdTokenSource::new(stack.service::<IdTokenRequest, _, _>(Identity::new(), it))),
            },
            info,
        )
    }

    /// Fixed tokens.
    fn fixed(access_token: Option<Secret>, id_token: Option<Secret>, events: SharedTokenEvents) -> Self {
        let info = SourceInfo::new("Static");
        let stack = TokenStack::new("fixed", Answers::Constant, events, info.health.clone());
        let (access, id) = (access_token.map(FixedTokens::new), id_token.map(FixedTokens::new));
        Self::plain(
            TokenSources {
                access: access.map(|it| {
                    AccessTokenSource::new(stack.clone().service::<AccessTokenRequest, _, _>(Identity::new(), it))
                }),
                id: id.map(|it| IdTokenSource::new(stack.service::<IdTokenRequest, _, _>(Identity::new(), it))),
            },
            info,
        )
    }

    /// Token services that need nothing else.
    fn plain(tokens: TokenSources, info: SourceInfo) -> Self {
        Self { tokens, routes: Vec::new(), info, default_email: None, attend: None, advice: None }
    }
}

impl CredentialSource {
    /// Opens the source, for a stack of the caller's own. Must be called in a tokio runtime.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Publisher, Router};
    /// use gce_metadata_tokens::CredentialSource;
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
        self.open_with(Arc::new(()), None)
    }

    /// The token services alone, without the rest of [`open`](Self::open): the routes to the keys that verify the offline issuer's
    /// identity tokens, and the reload of credentials files.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn token_sources(self) -> Result<TokenSources, SourceError> {
        self.open().map(|credentials| credentials.tokens)
    }

    /// Opens the source, reports its events to `events`, and limits the rate of access tokens that are not cached. Must be called
    /// in a tokio runtime.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_with(
        self,
        events: SharedTokenEvents,
        limit: Option<Arc<RateLimit>>,
    ) -> Result<Credentials, SourceError> {
        match self {
            Self::Fixed { access_token, id_token } => Ok(Credentials::fixed(access_token, id_token, events)),
            Self::Offline(options) => Ok(offline::open(options, events, limit)?),
            #[cfg(feature = "live")]
            Self::Live(options) => Ok(live::open(*options, events, limit)?),
        }
    }
}
