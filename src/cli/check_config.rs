//! `check-config FILE`: whether a config file can be served, and whether GCE would serve the same.

use clap::Args;
use gce_metadata_server::routes::Severity;
use gce_metadata_server::{ConfigFile, Overrides};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const EXIT_STATUS: &str = "\
Exit status:
  0  the file is as GCE would serve it, but for keys that notices are about
  1  error: it can't be served
  2  warning: it is served as it stands, but GCE would not serve it so";

const WARNINGS: u8 = 2;

/// Prints all that is to be said about a config file, a line each: FILE:LINE:COLUMN: error|warning|notice: at PATH: what
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct CheckConfig {
    /// A config, or the dump of a VM's ?recursive=true
    file: PathBuf,
}

impl CheckConfig {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let remarks = ConfigFile::new(&self.file, Overrides::default()).check()?;
        let mut out = std::io::stdout();
        for remark in &remarks {
            // A reader that closes the pipe early, such as head, does not change the exit status.
            let _ = writeln!(out, "{remark}");
        }
        Ok(match remarks.iter().map(|remark| remark.severity).max() {
            Some(Severity::Error) => ExitCode::FAILURE,
            Some(Severity::Warning) => ExitCode::from(WARNINGS),
            Some(Severity::Notice) | None => ExitCode::SUCCESS,
        })
    }
}
