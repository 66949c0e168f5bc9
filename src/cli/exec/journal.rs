//! `--expect` and `--journal-out`: what `exec` does with the requests of its command when the command has ended.

use super::EXEC;
use crate::cli::file;
use anyhow::Context;
use clap::Args;
use gce_metadata_server::{Expectations, Requests};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Exit status if the command succeeds and an expectation does not hold.
const UNMET: u8 = 3;

/// Exit status if the command succeeds and the journal can't be written.
const FAILURE: u8 = 1;

const MORE_ENTRIES: &str = "keep more requests by --journal-entries";

#[derive(Debug, Args)]
pub(super) struct JournalOptions {
    /// Check when the command has ended that it sent the requests in this file: a JSON list of the bodies that the admin API's
    /// requests/verify takes
    #[arg(long, value_name = "FILE", help_heading = EXEC)]
    expect: Option<PathBuf>,

    /// Write the requests of the command to this file when the command has ended: the entries of the journal, one JSON object per line
    #[arg(long, value_name = "FILE", help_heading = EXEC)]
    journal_out: Option<PathBuf>,
}

impl JournalOptions {
    /// Reads the expectations and opens the file of the journal, so that a mistake is found before the command starts.
    pub(super) fn open(self) -> anyhow::Result<Outcome> {
        let expected = self.expect.map(|path| {
            let option = format!("--expect {}", path.display());
            let expectations = file::read(&path).with_context(|| option.clone())?;
            let expectations = expectations.parse().with_context(|| option.clone())?;
            anyhow::Ok((option, expectations))
        });
        let journal_out = self.journal_out.map(|path| {
            let option = format!("--journal-out {}", path.display());
            let file = File::create(&path).with_context(|| option.clone())?;
            anyhow::Ok((option, file))
        });
        Ok(Outcome { expected: expected.transpose()?, journal_out: journal_out.transpose()? })
    }
}

/// The expectations and the file. Each has its option, for errors.
#[derive(Debug)]
pub(super) struct Outcome {
    expected: Option<(String, Expectations)>,
    journal_out: Option<(String, File)>,
}

impl Outcome {
    pub(super) fn needs_journal(&self) -> bool {
        self.expected.is_some() || self.journal_out.is_some()
    }

    /// Checks the expectations and writes the journal. Returns the exit status: that of the command, unless it is 0.
    pub(super) fn finish(self, requests: &Requests, command: u8) -> anyhow::Result<u8> {
        let lost = requests.lost();
        let mut status = 0;
        if let Some((option, expectations)) = &self.expected
            && let Err(reason) = check(requests, expectations, lost)
        {
            status = UNMET;
            report(&format!("{option}: {reason}"));
        }
        if let Some((option, file)) = self.journal_out {
            if lost > 0 {
                tracing::warn!("{option}: the journal has lost its oldest requests ({lost}); {MORE_ENTRIES}");
            }
            if let Err(error) = write_lines(file, requests) {
                status = FAILURE;
                report(&format!("{option}: {error}"));
            }
        }
        Ok(if command == 0 { status } else { command })
    }
}

/// Prints an error. The command has its own exit status, so that the error does not end `exec`.
fn report(error: &str) {
    let _ = writeln!(io::stderr(), "error: exec: {error}");
}

fn check(requests: &Requests, expectations: &Expectations, lost: u64) -> Result<(), String> {
    if lost > 0 {
        let why = "so that the expectations can't be checked";
        return Err(format!("the journal has lost its oldest requests ({lost}), {why}; {MORE_ENTRIES}"));
    }
    requests.verify(expectations).map_err(|unmet| format!("not met:\n{unmet}"))
}

fn write_lines(file: File, requests: &Requests) -> io::Result<()> {
    let mut file = BufWriter::new(file);
    for event in requests.serve_events() {
        writeln!(file, "{event}")?;
    }
    file.flush()
}
