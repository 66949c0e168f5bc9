//! `/__admin/mappings`: empty, so that WireMock's clients, which reset it, can use the journal.

use super::call::{Call, Outcome, json};
use super::problem::Problem;
use serde_json::json;

/// `GET /__admin/mappings`.
pub(super) async fn list(_: Call) -> Outcome {
    json(&json!({"mappings": [], "meta": {"total": 0}}))
}

/// `POST /__admin/mappings`.
pub(super) async fn add(call: Call) -> Outcome {
    call.value()?;
    Err(Problem::unprocessable("this server can't inject faults yet, so it has no stub mappings"))
}

/// `DELETE /__admin/mappings`, and the reset of mappings.
pub(super) async fn reset(_: Call) -> Outcome {
    json(&json!({}))
}
