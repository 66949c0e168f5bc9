//! Behaviour of some endpoints that the config does not control.

use clap::{Args, ValueEnum};
use gce_metadata_server::{NoMaintenance, ServerBuilder};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Endpoint Options")]
pub(crate) struct Endpoints {
    /// Keep what guests write under instance/guest-attributes/ in this file, over restarts; once it is there, it stands over
    /// the config
    #[arg(long, value_name = "FILE")]
    guest_attributes_file: Option<PathBuf>,

    /// Answer a write of guest attributes when it is on disk, and 503 if it can't be saved
    #[arg(long, requires_ifs = [("true", "guest_attributes_file")])]
    guest_attributes_sync: bool,

    /// What instance/upcoming-maintenance answers while the config has none
    #[arg(long, value_enum, default_value_t = Answer::None, value_name = "ANSWER")]
    without_maintenance: Answer,

    /// Serve /0.1/ and /computeMetadata/v1beta1/, which demand no header and GCE refuses
    #[arg(long)]
    enable_legacy_endpoints: bool,

    /// Answer 429 where GCE would: guest attributes, OS Login, identity tokens, uncached access tokens
    #[arg(long)]
    enforce_rate_limits: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Answer {
    /// The word NONE
    None,
    /// An empty object
    Empty,
    /// 503 and an error in JSON
    Unavailable,
}

impl Endpoints {
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
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
        if self.enforce_rate_limits { builder.enforce_rate_limits() } else { builder }
    }
}
