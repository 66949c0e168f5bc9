//! `capture` asks a metadata server for everything but tokens, and writes a config that is served with the same answers.
//!
//! Recursion has most values. [`walk`] follows the listings to those that recursion leaves out, and [`config`] puts them in. [`replay`]
//! serves the config and compares its answers with the captured ones; a difference is a note on standard error. [`probes`] and
//! [`answers`] are for the answers themselves: how the server answers errors, queries and missing headers.

mod answers;
mod config;
mod probes;
mod redact;
mod replay;
mod walk;

use super::block_on::block_on;
use super::target::Target;
use super::values::http_url;
use anyhow::{Context, anyhow};
use clap::Args;
use gce_metadata_server::Environment;
use gce_metadata_server::certs::create_file;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use walk::Client;

/// The addresses of the metadata server on a VM, the second for a VM whose name resolution fails.
const ON_A_VM: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];

/// The config holds a VM's attributes, which may be secrets.
const MODE: u32 = 0o600;

const NOTES: &str = "\
Tokens are never asked for: no request for a path that ends in /token or /identity is sent.

Examples, on a VM:
  gce-metadata-server capture -o vm.json
  gce-metadata-server capture --redact -o vm.json --answers answers";

/// Write the metadata of a VM to a config that is served with the same answers
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Capture {
    /// URL of the metadata server, http://HOST:PORT [default: that of GCE_METADATA_HOST, or http://metadata.google.internal]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    from: Option<Target>,

    /// Config file to create [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace keys, scripts and user data by x, with their length kept
    #[arg(long)]
    redact: bool,

    /// Folder to create, for the status, the headers and the body of each answer
    #[arg(long, value_name = "FOLDER")]
    answers: Option<PathBuf>,
}

impl Capture {
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<()> {
        if let Some(file) = &self.output {
            check_absent(file)?;
        }
        if let Some(folder) = &self.answers {
            answers::create(folder)?;
        }
        block_on(self.capture(environment))?
    }

    async fn capture(self, environment: &Environment) -> anyhow::Result<()> {
        let (client, recursion) = self.connect(environment).await?;
        let mut captured = walk::walk(&client, recursion).await?;
        let mut notes = std::mem::take(&mut captured.notes);
        let config = config::complete(&mut captured, &mut notes).await;
        if let Some(folder) = &self.answers {
            let probed = probes::ask(&client).await;
            answers::write(folder, &client, &captured, &probed, self.redact)?;
        }
        let text = config::text(&config, self.redact)?;
        match &self.output {
            Some(file) => create_file(file, &text, MODE).with_context(|| file.display().to_string())?,
            None => std::io::stdout().write_all(text.as_bytes())?,
        }
        let mut err = std::io::stderr();
        for note in notes {
            let _ = writeln!(err, "note: {note}");
        }
        let _ = writeln!(err, "captured {} answers of http://{}", captured.answers.len(), client.target());
        Ok(())
    }

    /// Asks for the first answer, recursion over all metadata.
    async fn connect(&self, environment: &Environment) -> anyhow::Result<(Client, walk::Answer)> {
        let targets = match (&self.from, &environment.metadata_host) {
            (Some(target), _) => vec![target.clone()],
            (None, Some(host)) => vec![Target::from_variable(host)?],
            (None, None) => ON_A_VM.into_iter().filter_map(Target::from_host).collect(),
        };
        let mut errors = Vec::new();
        for target in targets {
            let client = Client::new(target);
            match client.ask(walk::RECURSION).await {
                Ok(answer) => return Ok((client, answer)),
                Err(error) => errors.push(error.to_string()),
            }
        }
        Err(anyhow!("no metadata server answers: {}; run this on a VM, or give --from URL", errors.join("; ")))
    }
}

fn check_absent(file: &Path) -> anyhow::Result<()> {
    match file.symlink_metadata() {
        Ok(_) => Err(anyhow!("{} already exists: remove it, or choose another file", file.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| file.display().to_string()),
    }
}
