//! The receiver of answers, for a stack whose answers are counted. A trait object, so that the stack does not depend on metrics.

use gce_metadata_layers::{Answered, Record};
use std::fmt;
use std::sync::Arc;

/// A receiver of answers. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedRecord(Arc<dyn Record + Send + Sync>);

impl SharedRecord {
    pub(crate) fn new(record: impl Record + Send + Sync + 'static) -> Self {
        Self(Arc::new(record))
    }
}

impl SharedRecord {
    /// A receiver that passes answers on to both.
    pub(crate) fn and(self, other: Option<Self>) -> Self {
        match other {
            Some(other) => Self::new(move |answered: &Answered<'_>| {
                self.record(answered);
                other.record(answered);
            }),
            None => self,
        }
    }
}

impl Record for SharedRecord {
    fn record(&self, answered: &Answered<'_>) {
        self.0.record(answered);
    }
}

impl fmt::Debug for SharedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecord").finish_non_exhaustive()
    }
}
