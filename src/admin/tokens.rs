//! `/__admin/tokens`: the state of each account's tokens, given tokens, and the behaviour of the offline issuer. No answer has a token.

use super::call::{Call, Outcome, empty, json};
use super::problem::Problem;
use crate::vm::Vm;
use http::StatusCode;

pub(super) async fn list(_: Call) -> Outcome {
    json(&serde_json::json!({}))
}
pub(super) async fn get(call: Call) -> Outcome {
    Err(Problem::not_found(call.parameter))
}
pub(super) async fn put(call: Call) -> Outcome {
    Err(Problem::not_found(call.parameter))
}
pub(super) async fn clear(call: Call) -> Outcome {
    Err(Problem::not_found(call.parameter))
}
pub(super) async fn rotate(_: Call) -> Outcome {
    Ok(empty(StatusCode::NO_CONTENT))
}
pub(super) fn reset(_: &Vm) {}
