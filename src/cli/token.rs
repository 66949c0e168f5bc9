//! `token`: the commands for tokens.

mod jwks;
mod jwt;
mod times;
mod verify;

use clap::Subcommand;
use gce_metadata_server::Environment;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Verify(verify::Verify),
}

impl Token {
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Verify(verify) => verify.run(environment),
        }
    }
}
