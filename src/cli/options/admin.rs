//! Options of the admin listener.

use crate::cli::file;
use crate::cli::usage_error::UsageError;
use crate::cli::values::{address, host, port};
use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::routes::token::Secret;
use gce_metadata_server::{AdminOptions, Environment, ServerBuilder};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(next_help_heading = "Admin Options")]
pub(crate) struct Admin {
    /// Serve the admin API, which changes metadata and tokens while the server runs, at this port of 127.0.0.1 or of the given
    /// address; 0 is any free port
    #[arg(long, value_name = "[ADDRESS:]PORT", conflicts_with = "admin_socket")]
    admin: Option<String>,

    /// Serve the admin API at a Unix socket at this path, for this user and root only
    #[arg(long, value_name = "PATH")]
    admin_socket: Option<PathBuf>,

    /// File of the token that clients of the admin API must send; required if other machines can reach it [default:
    /// GCE_METADATA_ADMIN_TOKEN]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,

    /// Host name to allow in the Host header of requests to the admin API; may be repeated. Always allowed are IP addresses and
    /// localhost
    #[arg(long, value_name = "NAME", value_parser = host)]
    admin_host: Vec<String>,

    /// Number of requests that the journal of the admin API keeps; 0 turns the journal off
    #[arg(long, value_name = "N", default_value_t = ServerBuilder::JOURNAL_ENTRIES)]
    journal_entries: usize,

    /// The program reads the journal itself, so that it is kept without an admin listener too.
    #[arg(skip)]
    is_journal_read: bool,
}

impl Admin {
    pub(super) fn apply(&self, builder: ServerBuilder, environment: &Environment) -> anyhow::Result<ServerBuilder> {
        let builder = builder.journal_entries(self.journal_entries);
        let builder = if self.is_journal_read { builder.simulate() } else { builder };
        let options = match (&self.admin, &self.admin_socket) {
            (Some(place), _) => {
                let (interface, number) = place.rsplit_once(':').unwrap_or(("127.0.0.1", place));
                let number = port(number).map_err(|error| anyhow::anyhow!("--admin {place}: {error}"))?;
                // A colon before the port means this machine, as for --port.
                let interface = if interface.is_empty() { "127.0.0.1" } else { interface };
                AdminOptions::listen(address("--admin", interface, number)?)
            }
            (None, Some(path)) => AdminOptions::unix_socket(path),
            (None, None) => return Ok(builder),
        };
        let options = match self.token(environment)? {
            Some(token) => options.token(token),
            None => options,
        };
        Ok(builder.admin(self.admin_host.iter().fold(options, AdminOptions::allow_host)))
    }

    /// Whether the listener is opened.
    pub(super) fn is_enabled(&self) -> bool {
        self.admin.is_some() || self.admin_socket.is_some()
    }

    /// Opens the listener at a free port of 127.0.0.1, unless an option names another place.
    pub(in crate::cli) fn enable(&mut self) {
        if self.admin_socket.is_none() {
            self.admin.get_or_insert_with(|| "0".to_owned());
        }
    }

    /// Keeps a journal without an admin listener too.
    ///
    /// # Errors
    /// If the options turn the journal off.
    pub(in crate::cli) fn keep_journal(&mut self) -> Result<(), UsageError> {
        if self.journal_entries == 0 {
            let text = "--expect and --journal-out read the journal, which --journal-entries 0 turns off";
            return Err(UsageError(text.to_owned()));
        }
        self.is_journal_read = true;
        Ok(())
    }

    /// Reads the token file now, so that the command of `exec` gets the token that the server requires; the file may be a pipe.
    pub(in crate::cli) fn take_token(&mut self, environment: &mut Environment) -> anyhow::Result<()> {
        environment.admin_token = self.token(environment)?.map(Secret::from);
        self.admin_token_file = None;
        Ok(())
    }

    fn token(&self, environment: &Environment) -> anyhow::Result<Option<String>> {
        let Some(path) = &self.admin_token_file else {
            return Ok(environment.admin_token.as_ref().map(|token| token.expose().to_owned()));
        };
        let context = || format!("--admin-token-file {}", path.display());
        match file::read(path).with_context(context)?.trim() {
            "" => bail!("{}: the file is empty", context()),
            token => Ok(Some(token.to_owned())),
        }
    }

    /// A warning about options that are given without effect.
    pub(super) fn without_effect(&self) -> Option<String> {
        if self.is_enabled() {
            return None;
        }
        let given = [
            ("--admin-token-file", self.admin_token_file.is_some()),
            ("--admin-host", !self.admin_host.is_empty()),
            ("--journal-entries", self.journal_entries != ServerBuilder::JOURNAL_ENTRIES && !self.is_journal_read),
        ];
        super::ignored(&given, "add --admin or --admin-socket")
    }
}
