//! The command of `exec` and `doctor` as a child process: its start, its signals and its exit status.

mod signals;

pub(super) use signals::Signals;

use super::client_env::ClientEnvironment;
use anyhow::{Context, bail};
use rustix::process::{Pid, kill_process};
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use tokio::process::{Child, Command};

/// Exit statuses of a shell.
const CAN_NOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;
const SIGNALLED: i32 = 128;

/// A command to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChildCommand<'a> {
    /// The command of this program that runs it, for errors.
    pub(super) caller: &'static str,
    /// The program and its arguments.
    pub(super) words: &'a [OsString],
    /// The changes to the inherited environment.
    pub(super) environment: &'a ClientEnvironment,
}

impl ChildCommand<'_> {
    /// Runs the command, passes signals on to it, and returns its exit status.
    pub(super) async fn run(self, signals: &mut Signals) -> anyhow::Result<u8> {
        self.run_with(Stdio::inherit(), signals).await
    }

    /// Runs the command as [`run`](Self::run) does, with this standard output.
    pub(super) async fn run_with(self, stdout: Stdio, signals: &mut Signals) -> anyhow::Result<u8> {
        let Some((program, arguments)) = self.words.split_first() else {
            bail!("{}: a command is missing after --", self.caller)
        };
        let mut child = Command::new(program);
        child.args(arguments).stdout(stdout);
        for (name, value) in self.environment.iter() {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        match child.spawn() {
            Ok(child) => {
                wait(child, signals).await.with_context(|| format!("{}: can't wait for the command", self.caller))
            }
            Err(error) => Ok(self.report(program, &error)),
        }
    }

    /// Prints why the command can't start, and returns the exit status.
    fn report(self, program: &OsString, error: &io::Error) -> u8 {
        let name = program.to_string_lossy();
        // The kernel also says "not found" if the interpreter of a script is missing.
        let is_missing = error.kind() == ErrorKind::NotFound && !(name.contains('/') && Path::new(program).exists());
        let (status, reason) =
            if is_missing { (NOT_FOUND, "command not found".to_owned()) } else { (CAN_NOT_EXECUTE, error.to_string()) };
        let _ = writeln!(io::stderr(), "error: {}: {name}: {reason}", self.caller);
        status
    }
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
