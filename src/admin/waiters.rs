//! `/__admin/waiters`: the requests that wait for a change.

use super::call::{Call, Outcome, json};
use serde_json::json;

/// `GET`: the request that has waited longest is the first.
pub(super) async fn list(call: Call) -> Outcome {
    let waiters: Vec<_> = call.admin.waits.all().iter().map(|wait| wait.json()).collect();
    json(&json!({"waiters": waiters, "meta": {"total": waiters.len()}}))
}
