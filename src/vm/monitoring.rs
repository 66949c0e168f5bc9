//! The receivers of a machine's events, for monitoring. They return nothing, so monitoring can't change what happens.

use crate::guest_attributes::SaveEvents;
use gce_metadata_tokens::SharedTokenEvents;
use std::sync::Arc;

/// The receivers of a machine's events. By default events are ignored.
#[derive(Clone)]
pub(crate) struct Monitoring {
    pub(crate) tokens: SharedTokenEvents,
    pub(crate) saves: Arc<dyn SaveEvents>,
}

impl Default for Monitoring {
    fn default() -> Self {
        Self { tokens: Arc::new(()), saves: Arc::new(()) }
    }
}
