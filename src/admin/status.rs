//! `/__admin/status`: what the server serves, whether it is ready, and the variables with which clients find it.

use super::call::{Call, Outcome, json};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// `GET`.
pub(super) async fn get(call: Call) -> Outcome {
    let admin = &call.admin;
    let snapshot = admin.vm.reader().snapshot();
    let tree = snapshot.tree();
    let account = tree.service_account("default").map(|account| account.email.clone());
    let reasons: Vec<Cow<'static, str>> = admin.readiness_check.failing().collect();
    let environment: Map<String, Value> =
        admin.environment.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "project": tree.text("project/project-id"),
        "instance": tree.text("instance/name"),
        "account": account,
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "environment": environment,
        "generation": snapshot.generation(),
        "journal": admin.journal.is_some(),
    }))
}
