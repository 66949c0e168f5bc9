//! `schema config` and `schema simulation` print the JSON Schema of a file.

use clap::Subcommand;
use gce_metadata_server::{ConfigDocument, SimulationFile};
use std::io::Write;

#[derive(Debug, Subcommand)]
pub(crate) enum Schema {
    /// Print the JSON Schema of a config file
    Config,

    /// Print the JSON Schema of a simulation file
    Simulation,
}

impl Schema {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let schema = match self {
            Self::Config => ConfigDocument::json_schema(),
            Self::Simulation => SimulationFile::json_schema(),
        };
        let _ = writeln!(std::io::stdout(), "{schema:#}");
        Ok(())
    }
}
