//! Opens a machine in two steps: `load` reads and checks everything and writes nothing; `open` then writes the file of guest
//! attributes. A start that fails between the two leaves no file behind.

use super::builder::{Served, Tokens, VmBuilder};
use super::{Monitoring, Settings, Vm, VmTasks};
use crate::config::{ConfigFile, Overrides};
use crate::events::{Events, report_metadata};
use crate::faults::Faults;
use crate::guest_attributes::{self, GuestAttributesStore, Lock, SaveEvents};
use crate::rate_limits::EndpointLimits;
use crate::reload::{Reload, ReloadCounts};
use crate::server::StartError;
use gce_metadata_layers::LimitRateLayer;
use gce_metadata_routes::{Metadata, Publisher, Router, RouterOptions, Tree};
use gce_metadata_tokens::{Credentials, SharedTokenEvents, SourceError};
use std::path::PathBuf;
use std::sync::Arc;

/// A machine whose files are read and checked. Nothing is written yet.
pub(crate) struct LoadedVm {
    publisher: Publisher,
    of_config: Tree,
    followed: Option<Followed>,
    credentials: Credentials,
    options: RouterOptions,
    routes: super::builder::Routes,
    rate_limits: Option<EndpointLimits>,
    guest_attributes: Option<(PathBuf, Lock)>,
    guest_attributes_sync: bool,
    saves: Arc<dyn SaveEvents>,
    overrides: Overrides,
    settings: Settings,
    events: Events,
    has_faults: bool,
}

/// The config file and its content.
type Followed = (ConfigFile, Vec<u8>);

impl LoadedVm {
    /// Reads and checks everything. `computed` is a path that listings include because a route will be added for it. This may
    /// block, and must be called in the context of a tokio runtime.
    pub(crate) fn load(
        settings: VmBuilder,
        monitoring: Monitoring,
        computed: Option<&'static str>,
    ) -> Result<Self, StartError> {
        let switches = Settings::new(settings.enforces_rate_limits, settings.router.no_maintenance.clone());
        let has_limits = settings.enforces_rate_limits || settings.has_switches;
        let rate_limits = has_limits.then(|| EndpointLimits::switched_by(&switches.rate_limit_switch()));
        let credentials = open_credentials(settings.tokens, monitoring.tokens, rate_limits.as_ref())?;
        let overrides =
            settings.overrides.with_source(credentials.default_email(), credentials.is_for_default_account());
        let (metadata, followed) = read(settings.served, overrides.clone())?;
        let of_config = metadata.tree();
        if credentials.is_for_default_account() && of_config.service_account("default").is_none() {
            tracing::warn!(
                "the tokens are for the default account, and the metadata has none: give an account the alias `default`"
            );
        }
        // Locked before it is read, because another server could write it in between.
        let guest_attributes = match settings.guest_attributes {
            Some(path) => Some((Lock::acquire(&path)?, path)),
            None => None,
        };
        let tree = match &guest_attributes {
            Some((_, path)) => guest_attributes::restored(path, &of_config)?,
            None => of_config.clone(),
        };
        let publisher = Publisher::with_computed(tree, computed);
        if settings.events.log().is_some() {
            report_metadata(&publisher, settings.events.clone());
        }
        Ok(Self {
            publisher,
            of_config,
            followed,
            credentials,
            options: settings.router,
            routes: settings.routes,
            rate_limits,
            guest_attributes: guest_attributes.map(|(lock, path)| (path, lock)),
            guest_attributes_sync: settings.guest_attributes_sync,
            saves: monitoring.saves,
            overrides,
            settings: switches,
            events: settings.events,
            has_faults: settings.has_faults,
        })
    }

    /// The token source's message for the log at start.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        self.credentials.advice()
    }

    /// Writes the file of guest attributes for the first time, and builds the machine.
    pub(crate) async fn open(self) -> Result<(Vm, VmTasks), StartError> {
        let credentials = self.credentials;
        let (publisher, reader) = (self.publisher.clone(), self.publisher.reader());
        let guest_attributes = match self.guest_attributes {
            Some((path, lock)) => Some(GuestAttributesStore::start(path, lock, reader.clone(), self.saves).await?),
            None => None,
        };
        let mut options = self.options;
        if self.guest_attributes_sync {
            options.save_guest_attributes = guest_attributes.clone().map(GuestAttributesStore::service);
        }
        let faults = self.has_faults.then(|| Faults::new(reader.clone(), self.events.clone()));
        if let Some(faults) = &faults {
            credentials.control().inject_faults(Arc::new(faults.clone()));
        }
        let mut vm = Vm {
            router: Router::with_options(publisher.clone(), credentials.tokens(), options),
            publisher,
            source: credentials.info().clone(),
            tokens: credentials.control().clone(),
            guest_attributes: guest_attributes.clone(),
            rate_limits: self.rate_limits.map(LimitRateLayer::new),
            reloads: Arc::<ReloadCounts>::default(),
            reload: None,
            of_config: self.of_config.clone(),
            overrides: self.overrides,
            settings: self.settings,
            events: self.events,
            faults,
        };
        let source_routes = credentials.routes().into_iter().map(|(path, endpoint)| (path.to_owned(), endpoint));
        for (path, endpoint) in source_routes.chain(self.routes.0) {
            let added = vm.with_route(&path, endpoint);
            vm = added.inspect_err(|_| guest_attributes.iter().for_each(|store| store.remove_if_new()))?;
        }
        vm.reload = self.followed.map(|(file, bytes)| {
            Reload::new(file, bytes, self.of_config, vm.publisher.clone(), Arc::clone(&vm.reloads))
        });
        let reload = vm.reload.clone();
        Ok((vm, VmTasks { reader, reload, credentials, guest_attributes }))
    }
}

fn open_credentials(
    tokens: Tokens,
    events: SharedTokenEvents,
    limits: Option<&EndpointLimits>,
) -> Result<Credentials, SourceError> {
    match tokens {
        Tokens::From(source) => source.open_with(events, limits.map(|limits| Arc::clone(&limits.uncached_tokens))),
        Tokens::Given(tokens) => Ok(Credentials::from_services(tokens, &events)),
    }
}

/// The metadata, and the config file if there is one.
fn read(served: Served, overrides: Overrides) -> Result<(Metadata, Option<Followed>), StartError> {
    match served {
        Served::Given(metadata) => Ok((overrides.apply(metadata), None)),
        Served::File(path) => {
            let file = ConfigFile::new(path, overrides);
            let bytes = file.read()?;
            let metadata = file.parse(&bytes)?;
            Ok((metadata, Some((file, bytes))))
        }
    }
}
