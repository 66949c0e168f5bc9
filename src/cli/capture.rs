//! `capture` asks a metadata server for everything but tokens, and writes a config that is served with the same answers.
//!
//! Recursion has most values. [`walk`] follows the listings to those that recursion leaves out, and [`config`] puts them in. [`replay`]
//! serves the config and compares its answers with the captured ones; a difference is a note on standard error. [`probes`] and
//! [`answers`] are for the answers themselves: how the server answers errors, queries and missing headers.
//!
//! With `--follow`, [`follow`] waits for changes instead, and a [`recording`] makes the states of a scenario of them.

mod answers;
mod config;
mod follow;
mod merge_patch;
mod probes;
mod recording;
mod redact;
mod replay;
mod walk;

use super::block_on::block_on;
use super::target::Target;
use super::values::{duration, http_url};
use anyhow::{Context, anyhow};
use clap::Args;
use gce_metadata_server::Environment;
use gce_metadata_server::certs::create_file;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use walk::Client;

/// The addresses of the metadata server on a VM, the second for a VM whose name resolution fails.
const ON_A_VM: [&str; 2] = ["metadata.google.internal", "169.254.169.254"];

/// The config holds a VM's attributes, which may be secrets.
const MODE: u32 = 0o600;

const NOTES: &str = "\
Tokens are never asked for: no request for a path that ends in /token or /identity is sent.

Examples, on a VM:
  gce-metadata-server capture -o vm.json
  gce-metadata-server capture --redact -o vm.json --answers answers
  gce-metadata-server capture --redact --follow 10m -o changes.json";

/// Write the metadata of a VM to a config, or its changes to a scenario
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Capture {
    /// URL of the metadata server, http://HOST:PORT [default: that of GCE_METADATA_HOST, or http://metadata.google.internal]
    #[arg(long, value_name = "URL", value_parser = http_url)]
    from: Option<Target>,

    /// File to create [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Replace keys, scripts and user data by x, with their length kept
    #[arg(long)]
    redact: bool,

    /// Folder to create, for the status, the headers and the body of each answer
    #[arg(long, value_name = "FOLDER")]
    answers: Option<PathBuf>,

    /// Wait for changes this long, such as 10m, and write them as the scenario `captured` of a simulation file, instead of a config
    #[arg(long, value_name = "DURATION", value_parser = duration, conflicts_with = "answers")]
    follow: Option<Duration>,
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
        match self.follow {
            Some(time) => self.record(&client, &recursion, time).await,
            None => self.copy(&client, recursion).await,
        }
    }

    /// Writes the changes within this time as a simulation file.
    async fn record(&self, client: &Client, first: &walk::Answer, time: Duration) -> anyhow::Result<()> {
        let recording = follow::follow(client, first, time).await?;
        let server = client.target();
        if recording.len() == 0 {
            return Err(anyhow!("no value of http://{server} has changed: nothing is written"));
        }
        let description = format!("Changes of the metadata of http://{server}");
        self.write(&recording.simulation_file(&description, self.redact)?)?;
        let _ = writeln!(std::io::stderr(), "changes of http://{server} that were captured: {}", recording.len());
        Ok(())
    }

    /// Writes the metadata as a config.
    async fn copy(&self, client: &Client, recursion: walk::Answer) -> anyhow::Result<()> {
        let mut captured = walk::walk(client, recursion).await?;
        let mut notes = std::mem::take(&mut captured.notes);
        let config = config::complete(&mut captured, &mut notes).await;
        if let Some(folder) = &self.answers {
            let probed = probes::ask(client).await;
            answers::write(folder, client, &captured, &probed, self.redact)?;
        }
        self.write(&config::text(&config, self.redact)?)?;
        let mut err = std::io::stderr();
        for note in notes {
            let _ = writeln!(err, "note: {note}");
        }
        let _ = writeln!(err, "captured {} answers of http://{}", captured.answers.len(), client.target());
        Ok(())
    }

    /// Creates the file, or writes to standard output.
    fn write(&self, text: &str) -> anyhow::Result<()> {
        match &self.output {
            Some(file) => create_file(file, text, MODE).with_context(|| file.display().to_string()),
            None => Ok(std::io::stdout().write_all(text.as_bytes())?),
        }
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
