//! `/__admin/export`: a document with which another server answers the same, except for tokens.

use super::call::{Call, Outcome, json};
use super::metadata::document;
use crate::faults::Faults;
use serde_json::json;

/// `GET`: the config document of the current metadata, and the faults if there are any.
pub(super) async fn get(call: Call) -> Outcome {
    let vm = &call.admin.vm;
    let mut document = document(vm.reader().snapshot().tree());
    let faults = vm.faults().map(Faults::export).unwrap_or_default();
    if !faults.is_empty() {
        document["simulation"] = json!({"version": 1, "faults": faults});
    }
    json(&document)
}
