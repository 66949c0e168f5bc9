//! `env` prints the environment variables that direct client programs to a running server, for a shell or a file.

mod format;

use super::client_env::ClientEnvironment;
use super::scratch;
use super::target::TargetOption;
use clap::Args;
use format::{Format, Rendered};
use gce_metadata_server::{Environment, Variables};
use std::io::Write;
use std::path::Path;

const NOTES: &str = "\
Examples:
  eval \"$(gce-metadata-server env)\"                      # sh, bash, zsh
  gce-metadata-server env --format fish | source         # fish
  gce-metadata-server env --format github >> \"$GITHUB_ENV\"
  eval \"$(gce-metadata-server env --unset)\"";

/// Print the environment variables that direct Google's libraries to a running server
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Env {
    #[command(flatten)]
    target: TargetOption,

    /// Format of the output
    #[arg(long, default_value = "sh", value_name = "FORMAT")]
    format: Format,

    /// Unset the variables instead, and remove the folder in CLOUDSDK_CONFIG if `env` created it
    #[arg(long)]
    unset: bool,
}

impl Env {
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<()> {
        let variables = &environment.variables;
        let changes = if self.unset { self.unset(variables)? } else { self.set(environment)? };
        let Rendered { output, notes } = self.format.render(&changes)?;
        std::io::stdout().write_all(output.as_bytes())?;
        let _ = std::io::stderr().write_all(notes.as_bytes());
        Ok(())
    }

    fn set(&self, environment: &Environment) -> anyhow::Result<ClientEnvironment> {
        let target = self.target.target(environment)?;
        let folder = scratch::create_env_folder(&std::env::temp_dir())?;
        Ok(ClientEnvironment::new(&target, &environment.variables, &folder))
    }

    /// Undoes `set`, as far as the values before it are known.
    fn unset(&self, variables: &Variables) -> anyhow::Result<ClientEnvironment> {
        let folder = variables.get("CLOUDSDK_CONFIG").map(Path::new);
        let has_own_folder = folder.is_some_and(scratch::is_env_folder);
        if let Some(folder) = folder.filter(|_| has_own_folder) {
            scratch::remove_env_folder(folder)?;
        }
        Ok(ClientEnvironment::undone(variables, has_own_folder))
    }
}
