//! `token`: the commands for tokens.

mod jwks;
mod jwt;
mod times;
mod verify;

use super::admin::{TokenClear, TokenRotate, TokenSet, TokenStatus};
use clap::Subcommand;
use gce_metadata_server::Environment;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Verify(verify::Verify),

    Status(TokenStatus),

    Set(TokenSet),

    Clear(TokenClear),

    Rotate(TokenRotate),
}

impl Token {
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Verify(verify) => verify.run(environment),
            Self::Status(status) => status.run(environment),
            Self::Set(set) => set.run(environment),
            Self::Clear(clear) => clear.run(environment),
            Self::Rotate(rotate) => rotate.run(environment),
        }
    }
}
