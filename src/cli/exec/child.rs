//! The command as a child process: its start, its signals and its exit status.

use super::signals::Signals;
use crate::cli::client_env::ClientEnvironment;
use anyhow::{Context, bail};
use rustix::process::{Pid, kill_process};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use tokio::process::{Child, Command};

/// Exit statuses of a shell.
const CAN_NOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNALLED: i32 = 128;

/// Runs the command with these changes to the environment, passes signals on to it, and returns its exit status.
pub(super) async fn run(
    command: &[OsString],
    environment: &ClientEnvironment,
    signals: &mut Signals,
) -> anyhow::Result<u8> {
    let Some((program, arguments)) = command.split_first() else { bail!("exec: a command is missing after --") };
    let mut child = Command::new(program);
    child.args(arguments);
    for (name, value) in environment.iter() {
        match value {
            Some(value) => child.env(name, value),
            None => child.env_remove(name),
        };
    }
    match child.spawn() {
        Ok(child) => wait(child, signals).await.context("exec: can't wait for the command"),
        Err(error) => Ok(report(program, &error)),
    }
}

/// Prints why the command can't start, and returns the exit status.
fn report(program: &OsString, error: &io::Error) -> u8 {
    let name = program.to_string_lossy();
    // The kernel also says "not found" if the interpreter of a script is missing.
    let is_missing = error.kind() == ErrorKind::NotFound && !(name.contains('/') && Path::new(program).exists());
    let (status, reason) =
        if is_missing { (NOT_FOUND, "command not found".to_owned()) } else { (CAN_NOT_EXECUTE, error.to_string()) };
    let _ = writeln!(io::stderr(), "error: exec: {name}: {reason}");
    status
}

async fn wait(mut child: Child, signals: &mut Signals) -> io::Result<u8> {
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    loop {
        tokio::select! {
            status = child.wait() => return status.map(exit_status),
            signal = signals.next() => {
                // The child has not been waited for, so the number is still its own. It may have ended, which is no error.
                if let Some(pid) = pid {
                    let _ = kill_process(pid, signal);
                }
            }
        }
    }
}

fn exit_status(status: ExitStatus) -> u8 {
    let number = status.code().or(status.signal().map(|signal| SIGNALLED + signal));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}
