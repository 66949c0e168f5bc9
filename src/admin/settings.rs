//! `/__admin/settings`: settings that can be changed while the server runs.

mod delay;

use super::Admin;
use super::call::{Call, Outcome, json};
use super::problem::Problem;
use crate::answer_delay::AnswerDelay;
use crate::server::NotReady;
use delay::{Distribution, milliseconds};
use gce_metadata_routes::NoMaintenance;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

/// Changes of settings. A member that is left out stays as it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Changes {
    rate_limits: Option<bool>,
    without_maintenance: Option<Maintenance>,
    ready: Option<bool>,
    not_ready: Option<Manner>,
    /// Milliseconds. `null` is no delay, as in WireMock.
    #[serde(default, deserialize_with = "given")]
    fixed_delay: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    delay_distribution: Option<Option<Distribution>>,
}

/// All settings, in a form that `POST` accepts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Current {
    rate_limits: bool,
    without_maintenance: Maintenance,
    ready: bool,
    not_ready: Manner,
    fixed_delay: u64,
    delay_distribution: Option<Distribution>,
}

/// Distinguishes `null` from a member that is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The values of the option `--without-maintenance`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Maintenance {
    None,
    Empty,
    Unavailable,
}

/// The values of the option `--not-ready`.
#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Manner {
    Refuse,
    #[serde(rename = "503")]
    Unavailable,
    Hang,
}

/// `GET`.
pub(super) async fn get(call: Call) -> Outcome {
    json(&Current::of(&call.admin))
}

/// `POST`: changes the given settings.
pub(super) async fn post(call: Call) -> Outcome {
    let changes: Changes = call.json()?;
    let settings = call.admin.vm.settings();
    let delay = changes.delay(settings.answer_delays().get())?;
    if changes.ready.is_some() || changes.not_ready.is_some() {
        // First, because it is the only change that can fail.
        let manner = changes.not_ready.map(NotReady::from);
        call.admin.readiness.change(changes.ready, manner).await.map_err(Problem::unready)?;
    }
    if let Some(enforced) = changes.rate_limits {
        settings.enforce_rate_limits(enforced);
    }
    if let Some(answer) = changes.without_maintenance {
        settings.set_no_maintenance(answer.into());
    }
    settings.answer_delays().set(delay);
    // WireMock's clients expect an object.
    json(&json!({}))
}

impl Changes {
    /// The delay of answers after these changes.
    fn delay(&self, mut delay: AnswerDelay) -> Result<AnswerDelay, Problem> {
        if let Some(fixed) = self.fixed_delay {
            delay.fixed = milliseconds(fixed.unwrap_or_default(), "/fixedDelay")?;
        }
        if let Some(distribution) = self.delay_distribution {
            delay.distribution = distribution.map(Distribution::checked).transpose()?;
        }
        Ok(delay)
    }
}

impl Current {
    fn of(admin: &Admin) -> Self {
        let (settings, readiness) = (admin.vm.settings(), &admin.readiness);
        let delay = settings.answer_delays().get();
        Self {
            rate_limits: settings.enforces_rate_limits(),
            without_maintenance: settings.no_maintenance().into(),
            ready: readiness.is_ready(),
            not_ready: readiness.not_ready().unwrap_or_else(|| readiness.manner()).into(),
            fixed_delay: u64::try_from(delay.fixed.as_millis()).unwrap_or(u64::MAX),
            delay_distribution: delay.distribution.map(Distribution::of),
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

impl From<Manner> for NotReady {
    fn from(manner: Manner) -> Self {
        match manner {
            Manner::Refuse => Self::Refuse,
            Manner::Unavailable => Self::Unavailable,
            Manner::Hang => Self::Hang,
        }
    }
}

impl From<NotReady> for Manner {
    fn from(manner: NotReady) -> Self {
        match manner {
            NotReady::Refuse => Self::Refuse,
            NotReady::Unavailable => Self::Unavailable,
            NotReady::Hang => Self::Hang,
        }
    }
}
