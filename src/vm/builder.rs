//! The settings of a virtual machine.

use super::load::LoadedVm;
use super::monitoring::Monitoring;
use super::{Vm, VmTasks};
use crate::blocking::blocking;
use crate::config::Overrides;
use crate::events::Events;
use crate::server::StartError;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::token::Secret;
use gce_metadata_routes::{Metadata, NoMaintenance, RouterOptions, TokenSources};
use gce_metadata_tokens::{CredentialSource, OfflineOptions};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Handle;

/// Configures and opens a [`Vm`]. [`ServerBuilder`](crate::ServerBuilder) has the same methods.
#[derive(Debug)]
#[must_use = "a machine is opened by `open`"]
pub struct VmBuilder {
    pub(crate) served: Served,
    pub(crate) overrides: Overrides,
    pub(crate) tokens: Tokens,
    pub(crate) router: RouterOptions,
    pub(crate) routes: Routes,
    pub(crate) guest_attributes: Option<PathBuf>,
    pub(crate) guest_attributes_sync: bool,
    pub(crate) enforces_rate_limits: bool,
    /// Settings can be changed while the machine runs.
    pub(crate) has_switches: bool,
    pub(crate) events: Events,
    /// Faults can be injected.
    pub(crate) has_faults: bool,
}

/// The source of the metadata.
#[derive(Debug)]
pub(crate) enum Served {
    Given(Metadata),
    File(PathBuf),
}

/// The source of tokens.
#[derive(Debug)]
pub(crate) enum Tokens {
    From(Box<CredentialSource>),
    Given(TokenSources),
}

impl Tokens {
    /// The issuer of identity tokens, if it is not Google's. Its host is an allowed host, because clients fetch keys there.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match self {
            Self::From(source) => issuer(source),
            Self::Given(_) => None,
        }
    }
}

fn issuer(source: &CredentialSource) -> Option<&str> {
    match source {
        CredentialSource::Offline(options) => Some(&*options.issuer).filter(|it| *it != OfflineOptions::GOOGLE),
        CredentialSource::FixedBeside { source, .. } => issuer(source),
        _ => None,
    }
}

/// The embedder's endpoints, with their routes.
#[derive(Default)]
pub(crate) struct Routes(pub(crate) Vec<(String, Arc<dyn Endpoint>)>);

impl std::fmt::Debug for Routes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(path, _)| path)).finish()
    }
}

impl Default for VmBuilder {
    fn default() -> Self {
        Self {
            served: Served::Given(Metadata::sample()),
            overrides: Overrides::default(),
            tokens: Tokens::From(Box::default()),
            router: RouterOptions::default(),
            routes: Routes::default(),
            guest_attributes: None,
            guest_attributes_sync: false,
            enforces_rate_limits: false,
            has_switches: false,
            events: Events::default(),
            has_faults: false,
        }
    }
}

impl VmBuilder {
    /// Serves this metadata.
    pub fn metadata(self, metadata: Metadata) -> Self {
        Self { served: Served::Given(metadata), ..self }
    }

    /// Serves the metadata of this config file. The file is reloaded when it changes; invalid content is logged and counted, and
    /// the metadata stays as it is.
    pub fn metadata_file(self, path: impl Into<PathBuf>) -> Self {
        Self { served: Served::File(path.into()), ..self }
    }

    /// Sets values that override those of the metadata, also after a reload.
    pub fn overrides(self, overrides: Overrides) -> Self {
        Self { overrides, ..self }
    }

    /// Serves this access token for the default service account. Live [`credentials`](Self::credentials) that were set before make
    /// the tokens that are not given.
    pub fn access_token(self, token: impl Into<String>) -> Self {
        let given = Secret::from(token.into());
        self.fixed(|access_token, _| *access_token = Some(given))
    }

    /// Serves this identity token for the default service account, as [`access_token`](Self::access_token) does.
    pub fn id_token(self, token: impl Into<String>) -> Self {
        let given = Secret::from(token.into());
        self.fixed(|_, id_token| *id_token = Some(given))
    }

    /// Sets one of the two tokens and keeps the other.
    fn fixed(mut self, set: impl FnOnce(&mut Option<Secret>, &mut Option<Secret>)) -> Self {
        let tokens = std::mem::replace(&mut self.tokens, Tokens::From(Box::default()));
        let (mut access_token, mut id_token, beside) = match tokens {
            Tokens::Given(_) => (None, None, None),
            Tokens::From(source) => match *source {
                CredentialSource::Fixed { access_token, id_token } => (access_token, id_token, None),
                CredentialSource::FixedBeside { access_token, id_token, source } => {
                    (access_token, id_token, Some(source))
                }
                #[cfg(feature = "live")]
                live @ CredentialSource::Live(_) => (None, None, Some(Box::new(live))),
                _ => (None, None, None),
            },
        };
        set(&mut access_token, &mut id_token);
        self.credentials(match beside {
            Some(source) => CredentialSource::FixedBeside { access_token, id_token, source },
            None => CredentialSource::Fixed { access_token, id_token },
        })
    }

    /// Sets the source of tokens; by default the offline issuer.
    pub fn credentials(self, source: CredentialSource) -> Self {
        Self { tokens: Tokens::From(Box::new(source)), ..self }
    }

    /// Sets the caller's own services as token sources. Their tokens are served as they are, without a cache.
    pub fn token_sources(self, sources: TokenSources) -> Self {
        Self { tokens: Tokens::Given(sources), ..self }
    }

    /// Adds an endpoint at this path, in matchit's syntax: `/{name}` matches a segment, `/{*rest}` the rest of the path.
    /// [`open`](Self::open) fails if the route conflicts with another.
    pub fn with_route(mut self, path: impl Into<String>, endpoint: impl Endpoint + 'static) -> Self {
        self.routes.0.push((path.into(), Arc::new(endpoint)));
        self
    }

    /// Serves the APIs older than v1, `/0.1/` and `/computeMetadata/v1beta1/`, which require no header and which GCE no longer
    /// serves. The attribute `disable-legacy-endpoints` of the instance or the project disables them.
    pub fn enable_legacy_endpoints(mut self) -> Self {
        self.router.legacy_endpoints = true;
        self
    }

    /// Sets the answer of `instance/upcoming-maintenance` if the metadata has no such value.
    pub fn no_maintenance(mut self, answer: NoMaintenance) -> Self {
        self.router.no_maintenance = answer.into();
        self
    }

    /// Persists guest attributes (`instance/guest-attributes/`) in this file. If the file does not exist, the metadata's own
    /// attributes are the first ones.
    ///
    /// A write is answered before it is on disk, so a crash loses the last writes, unless
    /// [`guest_attributes_sync`](Self::guest_attributes_sync) is set. A lock file beside it, `FILE.lock`, prevents a second machine
    /// from opening the same file.
    pub fn guest_attributes_file(self, path: impl Into<PathBuf>) -> Self {
        Self { guest_attributes: Some(path.into()), ..self }
    }

    /// Answers a write of guest attributes only after it is on disk. It has no effect without a
    /// [file](Self::guest_attributes_file). Concurrent writes share one save. A write that can't be saved is answered 503; it is
    /// published all the same, and saved when the file can be written.
    pub fn guest_attributes_sync(self) -> Self {
        Self { guest_attributes_sync: true, ..self }
    }

    /// Enforces GCE's rate limits with status 429: 3 requests per second and 10 per minute for guest attributes; 50 per second
    /// each for OS Login, identity tokens, and access tokens that are not in the cache. Access tokens from the
    /// [caller's own sources](Self::token_sources) have no limit.
    pub fn enforce_rate_limits(self) -> Self {
        Self { enforces_rate_limits: true, ..self }
    }

    /// Limits the memory of all request bodies in flight, in bytes ([8 MiB](RouterOptions::MAX_BODY_BYTES_IN_FLIGHT) by default).
    /// A request whose body would exceed the limit is answered 503.
    pub fn max_body_bytes_in_flight(mut self, bytes: usize) -> Self {
        self.router.max_body_bytes_in_flight = bytes;
        self
    }

    /// Opens the machine, and returns it with its background tasks, which the caller must run. Must be polled in a tokio runtime;
    /// files are read, and a TPM is opened, on another thread.
    ///
    /// # Errors
    /// If the config, the credentials, a route or the file of guest attributes can't be used.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(self) -> Result<(Vm, VmTasks), StartError> {
        let runtime = Handle::current();
        let loaded = blocking(move || {
            let _context = runtime.enter();
            LoadedVm::load(self, Monitoring::default(), None)
        });
        loaded.await.map_err(StartError::Blocking)??.open().await
    }
}
