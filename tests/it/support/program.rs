//! The program, started through its binary.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A running program; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts the program on a free port with an empty environment, after `change` to its options and environment.
    pub(crate) fn start(change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(["--port", "0"]).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        change(&mut command);
        Self::of(command)
    }

    /// Starts this command.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line with this text on standard output; returns the rest of the line.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        let mut rests =
            self.lines.by_ref().map(Result::unwrap).filter_map(|it| it.split_once(text).map(|(_, rest)| rest.into()));
        rests.next().unwrap_or_else(|| panic!("standard output has no line with `{text}`"))
    }
}

impl Program {
    /// The next line of standard output.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().expect("the program has ended").unwrap()
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM, waits for the exit and asserts its status.
    pub(crate) fn stop(self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        self.wait();
    }

    /// Waits for the exit and asserts its status.
    pub(crate) fn wait(mut self) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Program {
    /// Sends SIGKILL, as a crash would end the program.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Expects a failed start; returns standard error. Panics at once if the program starts.
pub(crate) fn failed_start(mut command: Command) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(said) = BufReader::new(child.stdout.take().unwrap()).lines().next() {
        child.kill().unwrap();
        panic!("{command:?} has started: {said:?}");
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1), "{command:?}");
    String::from_utf8(stderr).unwrap()
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; scripts/test installs it"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}
