//! `check-config FILE` prints the diagnostics of a config file: errors, and differences from what GCE serves.

use clap::Args;
use gce_metadata_server::routes::Severity;
use gce_metadata_server::{ConfigFile, Overrides};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_STATUS: &str = "\
Exit status:
  0  no errors and no warnings; there may be notices
  1  an error: the file can't be served
  2  a warning: the file can be served, but GCE would not serve it so";

const WARNING_STATUS: u8 = 2;

/// Prints the diagnostics of a config file, one per line, as FILE:LINE:COLUMN: error|warning|notice: at PATH: MESSAGE
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct CheckConfig {
    /// Config file, or a dump of a VM's ?recursive=true
    file: PathBuf,
}

impl CheckConfig {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let diagnostics = ConfigFile::new(&self.file, Overrides::default()).check()?;
        let mut out = std::io::stdout();
        for diagnostic in &diagnostics {
            // If the reader closes the pipe early, as head does, the exit status stays the same.
            let _ = writeln!(out, "{diagnostic}");
        }
        Ok(match diagnostics.iter().map(|diagnostic| diagnostic.severity).max() {
            Some(Severity::Error) => ExitCode::FAILURE,
            Some(Severity::Warning) => ExitCode::from(WARNING_STATUS),
            Some(Severity::Notice) | None => ExitCode::SUCCESS,
        })
    }
}
