//! `/__admin/settings`: settings that can be changed while the server runs.

use super::call::{Call, Outcome, json};
use super::problem::Problem;
use crate::simulation::{CurrentSettings, SettingsDocument};
use serde_json::json;

/// `GET`.
pub(super) async fn get(call: Call) -> Outcome {
    json(&CurrentSettings::of(call.admin.vm.settings(), &call.admin.readiness))
}

/// `POST`: changes the given settings.
pub(super) async fn post(call: Call) -> Outcome {
    let changes: SettingsDocument = call.json()?;
    let settings = call.admin.vm.settings();
    changes.delay(settings.answer_delays().get())?;
    changes.apply(settings, &call.admin.readiness).await.map_err(Problem::unready)?;
    // WireMock's clients expect an object.
    json(&json!({}))
}
