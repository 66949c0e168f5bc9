//! Everything that the tree has.

use super::{Answer, Call, Endpoint, Reply};
use crate::snapshot::Reader;
use crate::v1;
use gce_metadata_layers::Rejection;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(super) reader: Reader,
}

impl Published {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader }
    }

    pub(super) fn find(&self, call: &Call<'_>) -> Result<Answer, Rejection> {
        let path = call.path.below(v1::PREFIX).ok_or(Rejection::NotFound)?;
        let snapshot = self.reader.snapshot();
        let node = snapshot.tree().get(path).ok_or(Rejection::NotFound)?;
        match (node.is_directory(), call.path.is_directory()) {
            (true, false) => Err(Rejection::MissingSlash),
            // A leaf is no directory, however politely it is asked.
            (false, true) => Err(Rejection::NotFound),
            _ => Ok(Answer::Published(Arc::clone(node))),
        }
    }
}

impl Endpoint for Published {
    fn call(&self, call: Call<'_>) -> Reply {
        self.find(&call).into()
    }
}
