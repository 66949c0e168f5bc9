//! `/__admin/settings`: settings that can be changed while the server runs.

use super::call::{Call, Outcome, json};
use crate::vm::Settings;
use gce_metadata_routes::NoMaintenance;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The settings in JSON. A member that is left out stays as it is.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limits: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    without_maintenance: Option<Maintenance>,
}

/// The values of the option `--without-maintenance`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Maintenance {
    None,
    Empty,
    Unavailable,
}

/// `GET`.
pub(super) async fn get(call: Call) -> Outcome {
    json(&Document::of(call.admin.vm.settings()))
}

/// `POST`: changes the given settings.
pub(super) async fn post(call: Call) -> Outcome {
    let Document { rate_limits, without_maintenance } = call.json()?;
    let settings = call.admin.vm.settings();
    if let Some(enforced) = rate_limits {
        settings.enforce_rate_limits(enforced);
    }
    if let Some(answer) = without_maintenance {
        settings.set_no_maintenance(answer.into());
    }
    // WireMock's clients expect an object.
    json(&json!({}))
}

impl Document {
    fn of(settings: &Settings) -> Self {
        Self {
            rate_limits: Some(settings.enforces_rate_limits()),
            without_maintenance: Some(settings.no_maintenance().into()),
        }
    }
}

impl From<Maintenance> for NoMaintenance {
    fn from(maintenance: Maintenance) -> Self {
        match maintenance {
            Maintenance::None => Self::Word,
            Maintenance::Empty => Self::Object,
            Maintenance::Unavailable => Self::Unavailable,
        }
    }
}

impl From<NoMaintenance> for Maintenance {
    fn from(answer: NoMaintenance) -> Self {
        match answer {
            NoMaintenance::Object => Self::Empty,
            NoMaintenance::Unavailable => Self::Unavailable,
            _ => Self::None,
        }
    }
}
