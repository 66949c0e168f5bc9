//! One virtual machine as one value: its metadata, its routes, its tokens and its guest attributes.
//!
//! A [`Server`](crate::Server) plays one. Whoever plays several (one for each caller, say) opens several and chooses among their
//! stacks for each request; nothing of one is shared with another.

mod builder;
mod load;
mod monitoring;

pub use builder::VmBuilder;
pub(crate) use builder::{Served, Tokens};
pub(crate) use load::LoadedVm;
pub(crate) use monitoring::Monitoring;

use crate::guest_attributes::Keeper;
use crate::rate_limits::EndpointLimits;
use crate::reload::{Reload, ReloadCounts};
use crate::stack::Stack;
use gce_metadata_layers::LimitRateLayer;
use gce_metadata_routes::endpoint::Endpoint;
use gce_metadata_routes::{Publisher, Reader, RouteConflict, Router};
use gce_metadata_tokens::{Credentials, SourceInfo};
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// A virtual machine whose metadata can be served. Clones are the same machine.
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
/// let service = vm.stack::<Full<Bytes>, Full<Bytes>>().until(stop.clone()).service();
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
    pub(crate) guest_attributes: Option<Arc<Keeper>>,
    rate_limits: Option<LimitRateLayer<EndpointLimits>>,
    pub(crate) reloads: Arc<ReloadCounts>,
    reload_wanted: Arc<Notify>,
}

impl fmt::Debug for Vm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("source", &self.source).finish_non_exhaustive()
    }
}

impl Vm {
    /// A machine yet to be opened: by default the sample VM with offline tokens.
    pub fn builder() -> VmBuilder {
        VmBuilder::default()
    }

    /// Changes what is served. An edit survives a reload of the config file, unless the file changes the same value: see
    /// [`Tree::rebased`](gce_metadata_routes::Tree::rebased).
    pub fn publisher(&self) -> &Publisher {
        &self.publisher
    }

    /// Reads what is served.
    pub fn reader(&self) -> Reader {
        self.publisher.reader()
    }

    /// The stack of all layers around this machine's routes.
    pub fn stack<ReqBody, ResBody>(&self) -> Stack<ReqBody, ResBody> {
        Stack::new(self.reader(), self.router.clone()).limits(self.rate_limits.clone())
    }

    /// How often the config file was reloaded.
    pub fn reloads(&self) -> &ReloadCounts {
        &self.reloads
    }

    /// Reloads the config file, if there is one, whether or not it has changed. Run-time edits are undone, except for guest
    /// attributes. [`VmTasks::run`] does it.
    pub fn reload(&self) {
        self.reload_wanted.notify_one();
    }

    /// Adds a route, as [`Router::with_route`] does.
    pub(crate) fn with_route(mut self, path: &str, endpoint: Arc<dyn Endpoint>) -> Result<Self, RouteConflict> {
        self.router = self.router.with_route(path, endpoint)?;
        Ok(self)
    }
}

/// What a [`Vm`] does in the background: it follows the config file, looks after the source of tokens, and saves guest
/// attributes.
pub struct VmTasks {
    reader: Reader,
    reload: Option<Reload>,
    credentials: Credentials,
    guest_attributes: Option<Arc<Keeper>>,
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
                stop.run_until_cancelled(reload.run()).await;
            }
        };
        let attending = stop.run_until_cancelled(credentials.supervise(reader));
        let saving = async {
            if let Some(keeper) = guest_attributes {
                keeper.keep(stop.clone()).await;
            }
        };
        tokio::join!(reloading, attending, saving);
    }
}
