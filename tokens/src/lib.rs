//! Sources of Google Cloud tokens as pairs of [`tower::Service`]s: one for access tokens, one for identity tokens.
//!
//! A [`CredentialSource`] selects fixed tokens, the offline issuer, or (feature `live`) credentials that Google issued.
//! Opening it yields [`Credentials`], whose services have the same types for all sources. All sources share one stack
//! of layers (`stack.rs`): metrics, cache, rate limit, log.
//!
//! # Features
//!
//! - `live`: tokens that Google accepts, and the HTTPS client for them.
//! - `tpm`: keys in a Trusted Platform Module. It includes `live`, and links tpm2-tss, which must be installed.
//! - `pkcs11`: keys in a PKCS#11 token, such as a hardware security module. It includes `live`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod beside;
mod cache;
mod control;
mod events;
mod fetch_error;
mod fixed;
mod health;
mod inject_fetch_faults;
mod limit_uncached;
#[cfg(feature = "live")]
mod live;
mod log_tokens;
mod offline;
mod override_tokens;
mod record_fetches;
mod record_token_requests;
mod sign_on_workers;
mod source_info;
mod stack;
mod token_request;

#[doc(hidden)]
pub mod follow;

pub use cache::{CacheHits, CacheTokens, CacheTokensLayer};
pub use control::{
    Behaviour, CachedAccessToken, CachedIdToken, ControlError, Given, GivenStatus, IdTokenFormat, KindStatus, Then,
    TokenControl, TokenStatus,
};
pub use events::{SharedTokenEvents, TokenEvents, TokenOutcome};
pub use fetch_error::FetchError;
pub use health::SourceHealth;
pub use inject_fetch_faults::{FetchFault, FetchFaults};
#[cfg(feature = "live")]
pub use live::{
    AccessTokenKind, AwsEnvironment, CredentialError, DocumentError, Endpoints, LiveOptions, LiveSource, get_document,
};
pub use offline::OfflineOptions;
pub use source_info::SourceInfo;
pub use token_request::{Token, TokenRequest};

use beside::beside;
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

/// The source of tokens to open. The default is the offline issuer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CredentialSource {
    /// Fixed tokens of the default account, served unchanged. Without one, the endpoint answers 404.
    Fixed {
        /// The access token, served by `token`.
        access_token: Option<Secret>,
        /// The identity token, served by `identity`.
        id_token: Option<Secret>,
    },
    /// Fixed tokens of the default account beside another source, which makes the kind of tokens that is not given, and the tokens
    /// of the other accounts.
    FixedBeside {
        /// The access token.
        access_token: Option<Secret>,
        /// The identity token.
        id_token: Option<Secret>,
        /// The other source.
        source: Box<CredentialSource>,
    },
    /// The offline issuer, which makes tokens without Google. No Google API accepts them.
    Offline(OfflineOptions),
    /// Live credentials, whose tokens Google accepts.
    #[cfg(feature = "live")]
    Live(Box<LiveOptions>),
}

#[cfg(feature = "live")]
impl From<LiveOptions> for CredentialSource {
    fn from(options: LiveOptions) -> Self {
        Self::Live(Box::new(options))
    }
}

/// The error of opening a source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The offline issuer's key is unusable.
    #[error("offline issuer: {0}")]
    Key(KeyError),
    /// The credentials can't be used.
    #[cfg(feature = "live")]
    #[error("credentials: {0}")]
    Credentials(CredentialError),
}

// Without `#[from]`, which would set `source()`: an error chain would print the cause twice.
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

/// Makes the background task that supervises the source.
type Supervise = Arc<dyn Fn(Reader) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// An open source: its token services, its routes and its background task.
pub struct Credentials {
    /// The token services.
    tokens: TokenSources,
    /// The control of the tokens at run time.
    control: TokenControl,
    /// Routes outside of the metadata tree, such as the public keys of identity tokens.
    routes: Vec<Route>,
    /// Facts for metrics and health checks.
    info: SourceInfo,
    /// The account of the credentials, for a config without accounts.
    default_email: Option<String>,
    /// Whether only the default account gets tokens.
    is_for_default_account: bool,
    /// The background task that supervises the source.
    supervise: Option<Supervise>,
    /// A hint for the log at start.
    advice: Option<&'static str>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Returns the token services.
    pub fn tokens(&self) -> TokenSources {
        self.tokens.clone()
    }

    /// Returns the control of the tokens at run time.
    pub fn control(&self) -> &TokenControl {
        &self.control
    }

    /// Returns routes outside of the metadata tree, for
    /// [`Router::with_route`](gce_metadata_routes::Router::with_route): the public keys and the discovery document of
    /// the offline issuer. Other sources have none.
    pub fn routes(&self) -> Vec<(&'static str, Arc<dyn Endpoint>)> {
        self.routes.clone()
    }

    /// Returns facts for metrics and health checks.
    pub fn info(&self) -> &SourceInfo {
        &self.info
    }

    /// Returns a hint for the log at start, if the source has one.
    pub fn advice(&self) -> Option<&'static str> {
        self.advice
    }

    /// Returns the e-mail of the credentials' account, if they name exactly one.
    pub fn default_email(&self) -> Option<&str> {
        self.default_email.as_deref()
    }

    /// Whether only the default account gets tokens of this source, as with fixed tokens and a single key.
    pub fn is_for_default_account(&self) -> bool {
        self.is_for_default_account
    }

    /// Supervises the source for the accounts of this metadata, for as long as the future is polled: it reloads changed
    /// credentials files, logs the health of each account, and probes failed accounts. For fixed, offline and given
    /// tokens it returns at once.
    pub fn supervise(&self, reader: Reader) -> impl Future<Output = ()> + Send + 'static + use<> {
        let supervision = self.supervise.as_ref().map(|supervise| supervise(reader));
        async move {
            if let Some(supervision) = supervision {
                supervision.await;
            }
        }
    }

    /// Wraps token services of the embedder. Their requests and answers are reported to `events`; they are not cached.
    pub fn from_services(tokens: TokenSources, events: &SharedTokenEvents) -> Self {
        let info = SourceInfo::new("Given");
        let stack = TokenStack::new("given", Answers::Any, Arc::clone(events), info.health.clone());
        // A kind without a source has a path too, because its tokens may be given at run time.
        let none = FixedTokens::new(None);
        let access = tokens.access.unwrap_or_else(|| AccessTokenSource::new(none.clone()));
        let id = tokens.id.unwrap_or_else(|| IdTokenSource::new(none));
        // `oneshot` makes readiness a part of the fetch, so that it counts towards latency and its failure is recorded.
        let access = service_fn(move |request| access.clone().oneshot(request));
        let id = service_fn(move |request| id.clone().oneshot(request));
        let control = TokenControl::new(&info, stack.overrides());
        let tokens = TokenSources::default()
            .with_access(stack.clone().service::<AccessTokenRequest, _, _>(Identity::new(), access))
            .with_id(stack.service::<IdTokenRequest, _, _>(Identity::new(), id));
        Self::plain(tokens, control, info)
    }

    /// Credentials of the source `Fixed`.
    fn fixed(access_token: Option<Secret>, id_token: Option<Secret>, events: SharedTokenEvents) -> Self {
        let info = SourceInfo::new("Static");
        let stack = TokenStack::new("fixed", Answers::Constant, events, info.health.clone());
        let (access, id) = (FixedTokens::new(access_token), FixedTokens::new(id_token));
        let control = TokenControl::new(&info, stack.overrides());
        let tokens = TokenSources::default()
            .with_access(stack.clone().service::<AccessTokenRequest, _, _>(Identity::new(), access))
            .with_id(stack.service::<IdTokenRequest, _, _>(Identity::new(), id));
        Self { is_for_default_account: true, ..Self::plain(tokens, control, info) }
    }

    /// Serves fixed tokens to the default account, and leaves all other requests to these credentials. Both have the same
    /// overrides at run time.
    fn beside(self, access_token: Option<Secret>, id_token: Option<Secret>, events: SharedTokenEvents) -> Self {
        let stack = TokenStack::new("fixed", Answers::Constant, events, self.info.health.clone());
        let stack = stack.with_overrides(self.control.overrides());
        let TokenSources { mut access, mut id } = self.tokens;
        if access_token.is_some() {
            let fixed =
                stack.clone().service::<AccessTokenRequest, _, _>(Identity::new(), FixedTokens::new(access_token));
            access = access.map(|source| AccessTokenSource::new(beside(fixed, source)));
        }
        if id_token.is_some() {
            let fixed = stack.service::<IdTokenRequest, _, _>(Identity::new(), FixedTokens::new(id_token));
            id = id.map(|source| IdTokenSource::new(beside(fixed, source)));
        }
        Self { tokens: TokenSources { access, id }, is_for_default_account: true, ..self }
    }

    /// Token services without a cache, routes or a background task.
    fn plain(tokens: TokenSources, control: TokenControl, info: SourceInfo) -> Self {
        Self {
            tokens,
            control,
            routes: Vec::new(),
            info,
            default_email: None,
            is_for_default_account: false,
            supervise: None,
            advice: None,
        }
    }
}

impl CredentialSource {
    /// Opens the source. Must be called in a tokio runtime.
    ///
    /// ```
    /// use gce_metadata_routes::{Metadata, Publisher, Router};
    /// use gce_metadata_tokens::CredentialSource;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let publisher = Publisher::new(Metadata::sample().tree());
    /// let credentials = CredentialSource::default().open()?;
    /// tokio::spawn(credentials.supervise(publisher.reader()));
    /// let mut router = Router::new(publisher, credentials.tokens());
    /// for (path, endpoint) in credentials.routes() {
    ///     router = router.with_route(path, endpoint)?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the key or the credentials of the source are unusable.
    pub fn open(self) -> Result<Credentials, SourceError> {
        self.open_with(Arc::new(()), None)
    }

    /// Opens the source and returns only its token services. The offline issuer's routes to its public keys, and the
    /// reload of credentials files, are not available then.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn token_sources(self) -> Result<TokenSources, SourceError> {
        self.open().map(|credentials| credentials.tokens)
    }

    /// Opens the source, reports its events to `events`, and limits the rate of fetches of access tokens to `limit`.
    /// Must be called in a tokio runtime.
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
            Self::FixedBeside { access_token, id_token, source } => {
                let credentials = source.open_with(Arc::clone(&events), limit)?;
                Ok(credentials.beside(access_token, id_token, events))
            }
            Self::Offline(options) => Ok(offline::open(options, events, limit)?),
            #[cfg(feature = "live")]
            Self::Live(options) => Ok(live::open(*options, events, limit)?),
        }
    }
}
