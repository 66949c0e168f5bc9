//! One virtual machine as one value: its metadata, its routes, its tokens and its guest attributes.
//!
//! A [`Server`](crate::Server) serves one `Vm`. An embedder that serves several, for example one per caller, opens several and
//! chooses one of their stacks for each request. They share no state.

mod builder;
mod load;
mod monitoring;
mod settings;

pub use builder::VmBuilder;
pub(crate) use builder::{Served, Tokens};
pub(crate) use load::LoadedVm;
pub(crate) use monitoring::Monitoring;
pub(crate) use settings::Settings;

use crate::config::{ConfigError, Overrides};
use crate::events::Events;
use crate::faults::Faults;
use crate::guest_attributes::GuestAttributesStore;
use crate::rate_limits::EndpointLimits;
use crate::reload::{Reload, ReloadCounts};
use crate::stack::Stack;
use gce_metadata_layers::LimitRateLayer;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::{Metadata, Publisher, Reader, RouteConflict, Router, Tree};
use gce_metadata_tokens::{Credentials, SourceInfo, TokenControl};
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A virtual machine whose metadata can be served. Clones share its state.
///
/// ```
/// use bytes::Bytes;
/// use gce_metadata_server::{Metadata, Vm};
/// use http::Request;
/// use http_body_util::{BodyExt, Full};
/// use tokio_util::sync::CancellationToken;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (vm, tasks) = Vm::builder().metadata(Metadata::sample()).access_token("ya29.made-up").open().await?;
/// let stop = CancellationToken::new();
/// tokio::spawn(tasks.run(stop.clone()));
/// let service = vm.stack::<Full<Bytes>>().until(stop.clone()).service();
/// let request = Request::get("/computeMetadata/v1/project/project-id").header("Metadata-Flavor", "Google");
/// let answer = service.oneshot(request.body(Full::default())?).await?;
/// assert_eq!(answer.into_body().collect().await?.to_bytes(), "sample-project");
/// stop.cancel();
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Vm {
    publisher: Publisher,
    router: Router,
    pub(crate) source: SourceInfo,
    tokens: TokenControl,
    pub(crate) guest_attributes: Option<Arc<GuestAttributesStore>>,
    rate_limits: Option<LimitRateLayer<EndpointLimits>>,
    pub(crate) reloads: Arc<ReloadCounts>,
    /// `None` without a config file.
    reload: Option<Reload>,
    /// The metadata at the start, without guest attributes from a file.
    of_config: Tree,
    overrides: Overrides,
    settings: Settings,
    events: Events,
    /// `None` without fault injection.
    faults: Option<Faults>,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Vm {
    /// Returns a builder. By default the machine has the sample metadata and offline tokens.
    pub fn builder() -> VmBuilder {
        VmBuilder::default()
    }

    /// The publisher, which edits the metadata. An edit survives a change of the config file, unless the file changes the same
    /// value: see
    /// [`Tree::rebased`](gce_metadata_routes::Tree::rebased).
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// A reader of the current metadata.
    pub fn reader(&self) -> Reader {
        self.publisher.reader()
    }

    /// The control of tokens at run time: gives tokens, changes how the offline issuer makes them, and drops cached ones.
    ///
    /// ```
    /// use gce_metadata_server::Server;
    /// use gce_metadata_server::routes::token::AccessToken;
    /// use gce_metadata_server::tokens::Given;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let server = Server::builder().start_blocking()?;
    /// let account = server.vm().reader().snapshot().tree().service_account("default").ok_or("no account")?;
    /// let token = AccessToken::new("ya29.given", Duration::from_secs(60));
    /// server.vm().tokens().give(&account.email, Given { access_token: Some(token), ..Given::default() });
    /// # Ok(()) }
    /// ```
    pub fn tokens(&self) -> &TokenControl {
        &self.tokens
    }

    /// The stack of all layers around this machine's routes, for an HTTP server whose requests and responses have the same body
    /// type, such as axum.
    pub fn stack<B>(&self) -> Stack<B> {
        self.stack_with_bodies()
    }

    /// The stack of all layers around this machine's routes, for an HTTP server with these two body types.
    pub fn stack_with_bodies<ReqBody, ResBody>(&self) -> Stack<ReqBody, ResBody> {
        Stack::new(self.router.clone()).limits(self.rate_limits.clone())
    }

    /// The number of reloads of the config file.
    pub fn reloads(&self) -> &ReloadCounts {
        &self.reloads
    }

    /// Reloads the config file, even if it has not changed. Run-time edits are discarded, except for guest attributes. Returns
    /// whether the metadata changed; `false` if there is no config file. Must be polled in a tokio runtime; the file is read on
    /// another thread, which finishes the reload even if this future is dropped.
    ///
    /// # Errors
    /// If the file can't be read or is invalid. The metadata stays as it is then, and the next valid content of the file
    /// discards run-time edits.
    pub async fn reload(&self) -> Result<bool, ConfigError> {
        match &self.reload {
            Some(reload) => reload.reload().await,
            None => Ok(false),
        }
    }

    /// Sets the metadata of the start again: the config file as it is now, without run-time edits. Guest attributes are kept, unless
    /// they are to be reset too.
    pub(crate) async fn reset(&self, with_guest_attributes: bool) -> Result<(), ConfigError> {
        let of_config = match &self.reload {
            Some(reload) => reload.reset().await?,
            None => self.of_config.clone(),
        };
        self.publisher.update(|current| {
            let attributes = if with_guest_attributes { &of_config } else { current }.guest_attributes();
            // Fails if an embedder has a computed leaf in place of the guest attributes.
            of_config.with_guest_attributes(&attributes).unwrap_or_else(|_| of_config.clone())
        });
        Ok(())
    }

    /// The metadata of the config, without run-time edits and guest attributes.
    pub(crate) async fn of_config(&self) -> Tree {
        match &self.reload {
            Some(reload) => reload.of_config().await,
            None => self.of_config.clone(),
        }
    }

    /// Applies the values that override those of a config.
    pub(crate) fn overridden(&self, metadata: Metadata) -> Metadata {
        self.overrides.apply(metadata)
    }

    /// The handle by which parts of this machine report events.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// The faults that are injected; `None` without fault injection.
    pub(crate) fn faults(&self) -> Option<&Faults> {
        self.faults.as_ref()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Removes the files that opening this machine has created, for a server that fails to start.
    pub(crate) fn remove_new_files(&self) {
        if let Some(store) = &self.guest_attributes {
            store.remove_if_new();
        }
    }

    /// Adds a route, as [`Router::with_route`] does.
    pub(crate) fn with_route(mut self, path: &str, endpoint: Arc<dyn Endpoint>) -> Result<Self, RouteConflict> {
        self.router = self.router.with_route(path, endpoint)?;
        Ok(self)
    }
}

/// The background tasks of a [`Vm`]: they follow the config file, supervise the token source, and save guest attributes.
pub struct VmTasks {
    reader: Reader,
    reload: Option<Reload>,
    credentials: Credentials,
    guest_attributes: Option<Arc<GuestAttributesStore>>,
}

impl fmt::Debug for VmTasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VmTasks").finish_non_exhaustive()
    }
}

impl VmTasks {
    /// Runs until `stop` is cancelled and the last guest attributes are saved. Must be polled in a tokio runtime.
    pub async fn run(self, stop: CancellationToken) {
        let Self { reader, reload, credentials, guest_attributes } = self;
        let reloading = async {
            if let Some(reload) = reload {
                stop.run_until_cancelled(reload.follow()).await;
            }
        };
        let supervising = stop.run_until_cancelled(credentials.supervise(reader));
        let saving = async {
            if let Some(store) = guest_attributes {
                store.save_changes(stop.clone()).await;
            }
        };
        tokio::join!(reloading, supervising, saving);
    }
}
