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
    /// Serves `/0.1/` and `/computeMetadata/v1beta1/`, which GCE refuses. The attribute `disable-legacy-endpoints` disables
    /// them again.
    pub legacy_endpoints: bool,
    /// The answer of `instance/upcoming-maintenance` while the metadata has no maintenance.
    pub no_maintenance: NoMaintenance,
    /// Saves guest attributes before a write of them is answered: 200, or 503 if it fails. Without it, a write is answered as
    /// soon as it is published.
    pub save_guest_attributes: Option<SaveGuestAttributes>,
    /// The memory of all request bodies that are being received, in bytes; 8 MiB by default. A body that would need more is
    /// answered 503. Clones of the router share it.
    pub max_body_bytes_in_flight: usize,
}

impl RouterOptions {
    /// The memory of all request bodies that are being received, in bytes, unless another limit is set.
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
