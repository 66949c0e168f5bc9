//! What the program does besides serving.

mod certs;
mod check_config;
#[cfg(feature = "tpm")]
mod tpm;

use clap::Subcommand;
use gce_metadata_server::Environment;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Certificates for HTTPS
    #[command(subcommand, arg_required_else_help = false)]
    Certs(certs::Certs),

    /// Say what is wrong with a config file
    CheckConfig(check_config::CheckConfig),

    /// Keys in a Trusted Platform Module
    #[cfg(feature = "tpm")]
    #[command(subcommand, arg_required_else_help = false)]
    Tpm(Box<tpm::Tpm>),

    /// Keys in a Trusted Platform Module (not in this build)
    #[cfg(not(feature = "tpm"))]
    Tpm {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        rest: Vec<String>,
    },
}

impl Command {
    #[cfg_attr(not(feature = "tpm"), allow(unused_variables))]
    pub(crate) fn run(&self, environment: &Environment) -> anyhow::Result<ExitCode> {
        match self {
            Self::Certs(certs) => certs.run()?,
            Self::CheckConfig(check) => return check.run(),
            #[cfg(feature = "tpm")]
            Self::Tpm(tpm) => tpm.run(environment)?,
            #[cfg(not(feature = "tpm"))]
            Self::Tpm { .. } => anyhow::bail!(crate::args::tpm::MISSING),
        }
        Ok(ExitCode::SUCCESS)
    }
}
