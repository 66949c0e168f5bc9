//! Whether a server is ready, and the reasons if it is not: for `/readyz` and for the admin API.

use crate::guest_attributes::GuestAttributesStore;
use crate::metrics::has_account;
use crate::reload::ReloadCounts;
use crate::server::Readiness;
use crate::vm::Vm;
use gce_metadata_routes::Reader;
use gce_metadata_tokens::SourceInfo;
use std::borrow::Cow;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The parts of a server that decide whether it is ready.
#[derive(Debug, Clone)]
pub(crate) struct ReadinessCheck {
    reader: Reader,
    reloads: Arc<ReloadCounts>,
    source: SourceInfo,
    guest_attributes: Option<Arc<GuestAttributesStore>>,
    switch: Option<Readiness>,
    /// Cancelled when the server begins to stop.
    stop: CancellationToken,
}

impl ReadinessCheck {
    /// The check of a server for this VM. Without a switch, the server can't be set not ready.
    pub(crate) fn new(vm: &Vm, switch: Option<Readiness>, stop: CancellationToken) -> Self {
        let (reader, reloads, source) = (vm.reader(), Arc::clone(&vm.reloads), vm.source.clone());
        Self { reader, reloads, source, guest_attributes: vm.guest_attributes.clone(), switch, stop }
    }

    /// The reasons for which the server is not ready; none if it is.
    pub(crate) fn failing(&self) -> impl Iterator<Item = Cow<'static, str>> {
        let snapshot = self.reader.snapshot();
        let is_source_ready = self.source.health().is_ready(|account| has_account(snapshot.tree(), account));
        let is_set_ready = self.switch.as_ref().is_none_or(Readiness::is_ready);
        let unsaved = self.guest_attributes.as_ref().and_then(|store| store.problem());
        [
            (self.stop.is_cancelled(), "the server is stopping"),
            (!is_set_ready, "the server is set not ready"),
            (!self.reloads.last_was_good(), "the config file has a mistake, an older state of it is served"),
            (!is_source_ready, "the token source failed when it was last asked"),
        ]
        .into_iter()
        .filter_map(|(fails, reason)| fails.then_some(reason.into()))
        .chain(unsaved.map(|problem| format!("guest attributes can't be saved: {problem}").into()))
    }
}
