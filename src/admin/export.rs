//! `/__admin/export`: a document with which another server answers the same, except for tokens.

use super::call::{Call, Outcome, json};
use super::metadata::document;

/// `GET`: the config document of the current metadata.
pub(super) async fn get(call: Call) -> Outcome {
    json(&document(call.admin.vm.reader().snapshot().tree()))
}
