//! `check-config FILE` prints the diagnostics of a config or simulation file: errors, and differences from what GCE serves.

use anyhow::{Context, bail};
use clap::Args;
use gce_metadata_server::routes::Severity;
use gce_metadata_server::{ConfigFile, Diagnostic, Overrides, SimulationFile};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const EXIT_STATUS: &str = "\
Exit status:
  0  no errors and no warnings; there may be notices
  1  an error: the file can't be served
  2  a warning: the file can be served, but GCE would not serve it so";

const WARNING_STATUS: u8 = 2;

/// The name of standard input.
const STDIN: &str = "-";

/// The size limit of standard input: that of a config file.
const MAX_STDIN: u64 = 64 * 1024 * 1024;

/// Prints the diagnostics of config and simulation files, one per line, as FILE:LINE:COLUMN: error|warning|notice: at PATH: MESSAGE, and `ok` for a file
/// without any
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct CheckConfig {
    /// Config file, a dump of a VM's ?recursive=true, or a simulation file, which has a member `version`; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CheckConfig {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout();
        let mut worst = None;
        for path in &self.files {
            let diagnostics = match diagnostics(path) {
                Ok(diagnostics) => diagnostics,
                // The other files are checked all the same.
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "error: {error:#}");
                    worst = Some(Severity::Error);
                    continue;
                }
            };
            // If the reader closes the pipe early, as head does, the exit status stays the same.
            if diagnostics.is_empty() {
                let _ = writeln!(out, "{}: ok", shown(path).display());
            }
            for diagnostic in &diagnostics {
                let _ = writeln!(out, "{diagnostic}");
            }
            worst = worst.max(diagnostics.iter().map(|diagnostic| diagnostic.severity).max());
        }
        Ok(match worst {
            Some(Severity::Error) => ExitCode::FAILURE,
            Some(Severity::Warning) => ExitCode::from(WARNING_STATUS),
            Some(Severity::Notice) | None => ExitCode::SUCCESS,
        })
    }
}

/// The diagnostics of a file, or of standard input.
fn diagnostics(path: &Path) -> anyhow::Result<Vec<Diagnostic>> {
    let file = ConfigFile::new(shown(path), Overrides::default());
    let content = if path == Path::new(STDIN) { read_stdin()? } else { file.read()? };
    Ok(match SimulationFile::is_like(&content) {
        true => SimulationFile::new(shown(path)).check_content(&content),
        false => file.check_content(&content),
    })
}

fn read_stdin() -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    std::io::stdin().take(MAX_STDIN + 1).read_to_end(&mut content).context("standard input")?;
    if content.len() as u64 > MAX_STDIN {
        bail!("standard input: larger than 64 MiB, the limit of a config");
    }
    Ok(content)
}

/// The path in messages.
fn shown(path: &Path) -> &Path {
    if path == Path::new(STDIN) { Path::new("<stdin>") } else { path }
}
