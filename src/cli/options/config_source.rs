//! The source of the config: a file, the environment variable `GCE_METADATA_CONFIG`, or the built-in sample.

use gce_metadata_server::routes::token::Secret;
use gce_metadata_server::{ConfigDocument, ConfigFile, Environment, Metadata, Overrides, ServerBuilder};
use std::fmt;
use std::path::Path;

const DEFAULT_FILE: &str = "config.json";

const VARIABLE: &str = "environment variable GCE_METADATA_CONFIG";

/// The source of the config. It is displayed as in the start message.
pub(crate) enum ConfigSource<'a> {
    File(&'a Path),
    Variable(&'a Secret),
    Sample,
}

impl<'a> ConfigSource<'a> {
    /// The file of `--config-file`, else the variable, else `config.json` if it exists, else the sample.
    pub(in crate::cli) fn choose(config_file: Option<&'a Path>, environment: &'a Environment) -> Self {
        let default = Path::new(DEFAULT_FILE);
        match (config_file, &environment.config) {
            (Some(file), _) => Self::File(file),
            (None, Some(config)) => Self::Variable(config),
            (None, None) if default.exists() => Self::File(default),
            (None, None) => Self::Sample,
        }
    }

    /// Logs a warning if `--config-file` overrides the variable.
    pub(super) fn log_conflict(&self, environment: &Environment) {
        if let (Self::File(file), true) = (self, environment.config.is_some()) {
            tracing::warn!("--config-file {} overrides {VARIABLE}: unset one of them", file.display());
        }
    }

    /// Serves the config.
    pub(in crate::cli) fn apply(&self, builder: ServerBuilder) -> anyhow::Result<ServerBuilder> {
        Ok(match self {
            Self::File(file) => builder.metadata_file(file),
            Self::Variable(config) => builder.metadata(parse(config)?),
            Self::Sample => builder.metadata(Metadata::sample()),
        })
    }

    /// The metadata of the config with these overrides; `None` for the sample.
    pub(super) fn load(&self, overrides: Overrides) -> anyhow::Result<Option<Metadata>> {
        Ok(match self {
            Self::File(file) => Some(ConfigFile::new(*file, overrides).load()?),
            Self::Variable(config) => Some(overrides.apply(parse(config)?)),
            Self::Sample => None,
        })
    }
}

fn parse(config: &Secret) -> anyhow::Result<Metadata> {
    Ok(ConfigDocument::from_text(VARIABLE, config.expose())?.metadata)
}

impl fmt::Display for ConfigSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(_) => f.write_str("the config of GCE_METADATA_CONFIG"),
            Self::Sample => f.write_str("the built-in sample"),
        }
    }
}
