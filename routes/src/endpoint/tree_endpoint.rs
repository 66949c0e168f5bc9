//! Answers requests with nodes of the tree.

use super::{Answer, Call, Endpoint, Reply};
use crate::paths::V1;
use crate::snapshot::Reader;
use crate::tree::Tree;
use gce_metadata_layers::Rejection;
use std::sync::Arc;

/// Looks up the path in the current tree.
#[derive(Debug, Clone)]
pub(crate) struct TreeEndpoint {
    reader: Reader,
}

impl TreeEndpoint {
    pub(crate) fn new(reader: Reader) -> Self {
        Self { reader }
    }
}

impl Endpoint for TreeEndpoint {
    fn answers_with_node(&self) -> bool {
        true
    }

    fn call(&self, call: Call<'_>) -> Reply {
        find(self.reader.snapshot().tree(), &call).into()
    }
}

/// The node that the path of a call names.
#[expect(clippy::expect_used, reason = "the table of routes is a constant")]
pub(super) fn find(tree: &Tree, call: &Call<'_>) -> Result<Answer, Rejection> {
    let path = call.path.below(V1).expect("the routes of the endpoint are below v1");
    let node = tree.get(path).ok_or(Rejection::NotFound)?;
    match (node.is_directory(), call.path.is_directory()) {
        (true, false) => Err(Rejection::MissingSlash),
        // The path of a leaf has no slash at its end.
        (false, true) => Err(Rejection::NotFound),
        _ => Ok(Answer::Published(Arc::clone(node))),
    }
}
