//! `reset` and `export`: the server as a whole.

use super::client::{AdminApi, EXIT_STATUS, json};
use super::print_json;
use bytes::Bytes;
use clap::Args;
use gce_metadata_server::Environment;
use http::Request;

/// Undo the changes that were made while the server runs
///
/// Metadata, guest attributes, tokens and settings are those of the start again.
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Reset {
    /// Restore the metadata only, from the config file as it is now
    #[arg(long)]
    metadata: bool,

    /// With --metadata, restore the guest attributes too
    #[arg(long, requires = "metadata")]
    guest_attributes: bool,

    #[command(flatten)]
    api: AdminApi,
}

impl Reset {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let path = match (self.metadata, self.guest_attributes) {
            (false, _) => "/__admin/reset",
            (true, false) => "/__admin/metadata/reset",
            (true, true) => "/__admin/metadata/reset?guest-attributes=true",
        };
        self.api.send(environment, Request::post(path), Bytes::new())?;
        Ok(())
    }
}

const EXPORT_NOTES: &str = "\
Example:
  gce-metadata-server export > config.json

Exit status:
  0  done
  1  the admin API refused the request, or did not answer
  2  the command line is wrong";

/// Print the current metadata as a config
///
/// Another server with this config answers the same, except for tokens.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_NOTES)]
pub(crate) struct Export {
    #[command(flatten)]
    api: AdminApi,
}

impl Export {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let answer = self.api.send(environment, Request::get("/__admin/export"), Bytes::new())?;
        print_json(&json(&answer)?)
    }
}
