//! The program: parses the command line, runs the command, and prints on standard error why one failed.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

use gce_metadata_server::Environment;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        // The help or the version.
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return failed(&cli::one_line(&error)),
    };
    let done = Environment::read().map_err(Into::into).and_then(|environment| command.run(environment));
    done.unwrap_or_else(|error| failed(&format!("{error:#}")))
}

fn failed(error: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::FAILURE
}
