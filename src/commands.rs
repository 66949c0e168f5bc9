//! What the program does besides serving.

mod certs;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Certificates for HTTPS
    #[command(subcommand)]
    Certs(certs::Certs),
}

impl Command {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        match self {
            Self::Certs(certs) => certs.run(),
        }
    }
}
