//! The options of the router.

use crate::endpoint::{NoMaintenance, SaveGuestAttributes};

/// Options of a [`Router`](crate::Router).
///
/// ```
/// use gce_metadata_routes::{Metadata, Publisher, Router, RouterOptions, TokenSources};
///
/// let mut options = RouterOptions::default();
/// options.legacy_endpoints = true;
/// Router::with_options(Publisher::new(Metadata::sample().tree()), TokenSources::default(), options);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouterOptions {
    /// Whether the older APIs, `/0.1/` and `/computeMetadata/v1beta1/`, are served, and listed in the directories above
    /// them; GCE and the default answer 403. The attribute `disable-legacy-endpoints` disables them at run time.
    pub legacy_endpoints: bool,
    /// The answer of `instance/upcoming-maintenance` while the metadata has no maintenance.
    pub no_maintenance: NoMaintenance,
    /// A service that saves guest attributes before a write is answered: with 200, or with 503 if saving fails. By default a write is
    /// answered as soon as it is published.
    pub save_guest_attributes: Option<SaveGuestAttributes>,
    /// The limit on the memory of all request bodies in flight, in bytes; 8 MiB by default. A request whose body would exceed it is
    /// answered 503. Clones of the router share the limit.
    pub max_body_bytes_in_flight: usize,
}

impl RouterOptions {
    /// The default of [`max_body_bytes_in_flight`](Self::max_body_bytes_in_flight), in bytes: 8 MiB.
    pub const MAX_BODY_BYTES_IN_FLIGHT: usize = 8 * 1024 * 1024;
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            legacy_endpoints: false,
            no_maintenance: NoMaintenance::default(),
            save_guest_attributes: None,
            max_body_bytes_in_flight: Self::MAX_BODY_BYTES_IN_FLIGHT,
        }
    }
}
