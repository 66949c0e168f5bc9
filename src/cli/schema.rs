//! `schema config` prints the JSON Schema of a config file.

use clap::Subcommand;
use gce_metadata_server::ConfigDocument;
use std::io::Write;

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print the JSON Schema of a config file
    Config,
}

impl Schema {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let Self::Config = self;
        let _ = writeln!(std::io::stdout(), "{:#}", ConfigDocument::json_schema());
        Ok(())
    }
}
