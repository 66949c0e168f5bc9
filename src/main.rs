//! The program: parses the command line, runs the command, and prints its error on standard error.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod cli;

use gce_metadata_server::Environment;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os()) {
        Ok(command) => command,
        // `--help` and `--version`.
        Err(error) if !error.use_stderr() => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => return fail(&cli::one_line(&error), cli::usage_status(std::env::args_os())),
    };
    let outcome = Environment::read().map_err(Into::into).and_then(|environment| command.run(environment));
    outcome.unwrap_or_else(|error| fail(&format!("{error:#}"), cli::failure_status(&error)))
}

fn fail(error: &str, status: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error}");
    ExitCode::from(status)
}
