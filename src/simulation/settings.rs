//! The settings that a server can change while it runs, in JSON: a document of changes, and all current values. The admin API and
//! simulation files share it.

mod delay;

use super::Mistake;
use crate::answer_delay::AnswerDelay;
use crate::json_pointer;
use crate::server::{NotReady, Readiness, ReadinessError};
use crate::vm::{Settings, SettingsBaseline};
use delay::{Distribution, milliseconds};
use gce_metadata_routes::NoMaintenance;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Changes of settings. A member that is left out stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct SettingsDocument {
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
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentSettings {
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Maintenance {
    None,
    Empty,
    Unavailable,
}

/// The values of the option `--not-ready`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Manner {
    Refuse,
    #[serde(rename = "503")]
    Unavailable,
    Hang,
}

impl SettingsDocument {
    /// Parses a document; `pointer` is its place in a larger one.
    pub(crate) fn parse(value: &Value, pointer: &str) -> Result<Self, Mistake> {
        let parsed: Self = serde_path_to_error::deserialize(value).map_err(|error| {
            let place = format!("{pointer}{}", json_pointer::of_path(error.path()));
            Mistake::new(place, error.inner().to_string())
        })?;
        parsed.delay(AnswerDelay::default()).map_err(|mistake| mistake.below(pointer))?;
        Ok(parsed)
    }

    /// Whether the server is ready, if the document says so.
    pub(crate) fn ready(&self) -> Option<bool> {
        self.ready
    }

    /// What a server that is not ready does, if the document says so.
    pub(crate) fn not_ready(&self) -> Option<NotReady> {
        self.not_ready.map(NotReady::from)
    }

    /// A member that both documents have.
    pub(crate) fn member_of_both(&self, other: &Self) -> Option<&'static str> {
        [
            ("rateLimits", self.rate_limits.is_some() && other.rate_limits.is_some()),
            ("withoutMaintenance", self.without_maintenance.is_some() && other.without_maintenance.is_some()),
            ("ready", self.ready.is_some() && other.ready.is_some()),
            ("notReady", self.not_ready.is_some() && other.not_ready.is_some()),
            ("fixedDelay", self.fixed_delay.is_some() && other.fixed_delay.is_some()),
            ("delayDistribution", self.delay_distribution.is_some() && other.delay_distribution.is_some()),
        ]
        .into_iter()
        .find_map(|(name, is_in_both)| is_in_both.then_some(name))
    }

    /// Adds the members of another document.
    pub(crate) fn extend(&mut self, other: Self) {
        self.rate_limits = other.rate_limits.or(self.rate_limits);
        self.without_maintenance = other.without_maintenance.or(self.without_maintenance);
        self.ready = other.ready.or(self.ready);
        self.not_ready = other.not_ready.or(self.not_ready);
        self.fixed_delay = other.fixed_delay.or(self.fixed_delay);
        self.delay_distribution = other.delay_distribution.or(self.delay_distribution);
    }

    /// The values that a reset of the machine's settings restores.
    pub(crate) fn baseline(&self) -> SettingsBaseline {
        SettingsBaseline {
            rate_limits: self.rate_limits,
            no_maintenance: self.without_maintenance.map(NoMaintenance::from),
            // Checked when the document was parsed.
            delay: self.delay(AnswerDelay::default()).unwrap_or_default(),
        }
    }

    /// Changes the given settings of a server.
    ///
    /// # Errors
    /// If the readiness can't be switched. Nothing is changed then.
    pub(crate) async fn apply(&self, settings: &Settings, readiness: &Readiness) -> Result<(), ReadinessError> {
        if self.ready.is_some() || self.not_ready.is_some() {
            // First, because it is the only change that can fail.
            readiness.change(self.ready, self.not_ready()).await?;
        }
        if let Some(enforced) = self.rate_limits {
            settings.enforce_rate_limits(enforced);
        }
        if let Some(answer) = self.without_maintenance {
            settings.set_no_maintenance(answer.into());
        }
        let delays = settings.answer_delays();
        // Checked when the document was parsed.
        if let Ok(delay) = self.delay(delays.get()) {
            delays.set(delay);
        }
        Ok(())
    }

    /// The delay of answers after these changes.
    pub(crate) fn delay(&self, mut delay: AnswerDelay) -> Result<AnswerDelay, Mistake> {
        if let Some(fixed) = self.fixed_delay {
            delay.fixed = milliseconds(fixed.unwrap_or_default(), "/fixedDelay")?;
        }
        if let Some(distribution) = self.delay_distribution {
            delay.distribution = distribution.map(Distribution::checked).transpose()?;
        }
        Ok(delay)
    }
}

impl CurrentSettings {
    pub(crate) fn of(settings: &Settings, readiness: &Readiness) -> Self {
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

    /// The values that differ from those of a server without options, as a document for another server.
    pub(crate) fn changed(&self) -> Map<String, Value> {
        let usual = Self {
            rate_limits: false,
            without_maintenance: Maintenance::None,
            ready: true,
            not_ready: Manner::Refuse,
            fixed_delay: 0,
            delay_distribution: None,
        };
        let members = |settings: &Self| match serde_json::to_value(settings) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        };
        let usual = members(&usual);
        members(self).into_iter().filter(|(name, value)| usual.get(name) != Some(value)).collect()
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
