//! The program, started as its users start it.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A running one; killed when dropped.
pub(crate) struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it on a free port, with these further options and nothing but what is set here in its environment.
    pub(crate) fn start(change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
        command.args(["--port", "0"]).env_clear().stdin(Stdio::null()).stderr(Stdio::null());
        change(&mut command);
        Self::of(command)
    }

    /// Starts this.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// What comes after this text in the next line that has it.
    pub(crate) fn says(&mut self, text: &str) -> String {
        let mut rests =
            self.lines.by_ref().map(Result::unwrap).filter_map(|it| it.split_once(text).map(|(_, rest)| rest.into()));
        rests.next().unwrap_or_else(|| panic!("it never says `{text}`"))
    }
}

impl Program {
    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Program {
    /// Ends it at once, as a crash does.
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

/// What a program that can't start says. One that starts after all fails the test at once.
pub(crate) fn refusal(mut command: Command) -> String {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    if let Some(said) = BufReader::new(child.stdout.take().unwrap()).lines().next() {
        child.kill().unwrap();
        panic!("{command:?} is not refused: {said:?}");
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1), "{command:?}");
    String::from_utf8(stderr).unwrap()
}
