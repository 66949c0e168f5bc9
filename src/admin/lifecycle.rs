//! The server as a whole: health, version, shutdown, reset, and the description of the API.

use super::call::{Call, JSON, Outcome, json, with_type};
use super::problem::Problem;
use http::StatusCode;
use serde_json::json;

/// The description of the API. A test compares it with the table of routes.
pub(super) const OPENAPI: &str = include_str!("openapi.json");

/// `GET /__admin/health`, in WireMock's form.
pub(super) async fn health(call: Call) -> Outcome {
    json(&json!({
        "status": "healthy",
        "message": "the metadata server is running",
        "version": env!("CARGO_PKG_VERSION"),
        "uptimeInSeconds": call.admin.started.elapsed().as_secs(),
    }))
}

/// `GET /__admin/version`.
pub(super) async fn version(_: Call) -> Outcome {
    json(&json!({"version": env!("CARGO_PKG_VERSION")}))
}

/// `POST /__admin/shutdown`: the server drains and ends, after this answer.
pub(super) async fn shutdown(call: Call) -> Outcome {
    tracing::info!("the admin API asks for a shutdown");
    call.admin.shutdown.cancel();
    json(&json!({}))
}

/// `POST /__admin/reset`: undoes all that was set at run time.
pub(super) async fn reset(call: Call) -> Outcome {
    // Before the metadata: a run puts its values back.
    call.admin.scenarios.clear();
    call.admin.scenarios.settled().await;
    let vm = &call.admin.vm;
    let reset = vm.reset(true).await;
    vm.tokens().clear_all();
    vm.settings().reset();
    if let Some(faults) = vm.faults() {
        faults.reset();
    }
    call.admin.readiness.reset().await.map_err(Problem::unready)?;
    if let Some(journal) = &call.admin.journal {
        journal.clear();
    }
    reset.map_err(|error| Problem::unprocessable(format!("the config file: {error}")))?;
    json(&json!({}))
}

/// `GET /__admin/openapi.json`.
pub(super) async fn openapi(_: Call) -> Outcome {
    Ok(with_type(StatusCode::OK, JSON, OPENAPI))
}
