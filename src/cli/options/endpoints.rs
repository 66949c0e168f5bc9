//! Options for the behaviour of endpoints.

use anyhow::bail;
use clap::{Args, ValueEnum};
use gce_metadata_server::{NoMaintenance, ServerBuilder};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint Options")]
pub(crate) struct Endpoints {
    /// File that keeps guest attributes over restarts; once it exists, it replaces the guest attributes of the config
    #[arg(long, value_name = "FILE")]
    guest_attributes_file: Option<PathBuf>,

    /// Answer writes of guest attributes after they are saved in that file, or with 503 if saving fails
    #[arg(long)]
    guest_attributes_sync: bool,

    /// Answer of instance/upcoming-maintenance while the config has no maintenance
    #[arg(long, value_enum, default_value_t = Answer::None, value_name = "ANSWER")]
    without_maintenance: Answer,

    /// Serve /0.1/ and /computeMetadata/v1beta1/, which need no Metadata-Flavor header; GCE refuses them
    #[arg(long)]
    enable_legacy_endpoints: bool,

    /// Enforce the rate limits of GCE (429) for guest attributes, OS Login, identity tokens and uncached access tokens
    #[arg(long)]
    enforce_rate_limits: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answer {
    /// The word NONE
    None,
    /// An empty object
    Empty,
    /// 503 and an error in JSON, which Google's agents expect
    Unavailable,
}

impl Endpoints {
    pub(super) fn apply(&self, builder: ServerBuilder) -> anyhow::Result<ServerBuilder> {
        if self.guest_attributes_sync && self.guest_attributes_file.is_none() {
            bail!("--guest-attributes-sync does nothing without --guest-attributes-file");
        }
        let builder = builder.no_maintenance(match self.without_maintenance {
            Answer::None => NoMaintenance::Word,
            Answer::Empty => NoMaintenance::Object,
            Answer::Unavailable => NoMaintenance::Unavailable,
        });
        let builder = match &self.guest_attributes_file {
            Some(path) => builder.guest_attributes_file(path),
            None => builder,
        };
        let builder = if self.guest_attributes_sync { builder.guest_attributes_sync() } else { builder };
        let builder = if self.enable_legacy_endpoints { builder.enable_legacy_endpoints() } else { builder };
        Ok(if self.enforce_rate_limits { builder.enforce_rate_limits() } else { builder })
    }
}
