//! `doctor`: each trap is reported, and the printed remedy removes it.

mod clients;
mod remedies;
mod run;
mod server;

use crate::support::program::Program;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const ADDRESSES: [&str; 3] = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"];

/// A server, and a user's environment in which all clients find it.
struct Machine {
    /// `None` if the server is not one of the program.
    _server: Option<Program>,
    host: String,
    home: TempDir,
    tmp: TempDir,
}

impl Machine {
    fn start() -> Self {
        Self::with(|_| {})
    }

    /// With these changes to the server's options and environment.
    fn with(change: impl FnOnce(&mut Command)) -> Self {
        let mut server = Program::start(change);
        let host = server.wait_for("export GCE_METADATA_HOST=");
        Self { _server: Some(server), ..Self::at(host) }
    }

    /// With a server at this address.
    fn at(host: String) -> Self {
        Self { _server: None, host, home: tempfile::tempdir().unwrap(), tmp: tempfile::tempdir().unwrap() }
    }

    /// A command in the user's environment. `PATH` has the program.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let folder = Path::new(env!("CARGO_BIN_EXE_gce-metadata-server")).parent().unwrap();
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        command.env("PATH", format!("{}:{}", folder.display(), env!("PATH")));
        command.env("HOME", self.home.path()).env("TMPDIR", self.tmp.path());
        command.envs(ADDRESSES.map(|name| (name, &self.host)));
        command
    }

    /// A script for `sh` in the user's environment.
    fn shell(&self, script: &str) -> Command {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        command
    }

    /// Writes a file below the user's home.
    fn write(&self, name: &str, text: &str) {
        let file = self.home.path().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }
}

/// The findings of `doctor --format json`, without those that are `ok`, and its exit status.
fn diagnosis(command: &mut Command) -> (Vec<Value>, Option<i32>) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    let findings: Vec<Value> = serde_json::from_slice(&stdout).unwrap();
    (findings.into_iter().filter(|finding| finding["severity"] != "ok").collect(), status.code())
}

fn text<'a>(finding: &'a Value, name: &str) -> &'a str {
    finding[name].as_str().unwrap_or_else(|| panic!("{name}: {finding}"))
}

/// Sets a trap, and asserts that `doctor` reports these checks with these messages (or beginnings of messages), and nothing after
/// the remedies were run in the same shell. Returns the remedies.
fn remedied(machine: &Machine, trap: impl Fn(&mut Command), expected: &[(&str, &str)]) -> String {
    let doctor = "gce-metadata-server doctor --format json";
    let mut command = machine.shell(doctor);
    trap(&mut command);
    let (findings, status) = diagnosis(&mut command);
    assert_eq!(findings.len(), expected.len(), "{expected:?}: {findings:#?}");
    for (finding, (check, message)) in findings.iter().zip(expected) {
        assert_eq!(text(finding, "check"), *check, "{finding}");
        assert!(text(finding, "message").starts_with(message), "{message}: {finding}");
    }
    let is_error = findings.iter().any(|finding| finding["severity"] == "error");
    assert_eq!(status, Some(if is_error { 1 } else { 2 }), "{findings:?}");
    let remedies = findings.iter().map(|finding| text(finding, "remedy")).collect::<Vec<_>>().join("\n");
    let mut command = machine.shell(&format!("{remedies}\n{doctor}"));
    trap(&mut command);
    let (left, status) = diagnosis(&mut command);
    assert_eq!((left, status), (Vec::new(), Some(0)), "{remedies}");
    remedies
}

/// With this variable.
fn set<'a>(name: &'a str, value: &'a str) -> impl Fn(&mut Command) + 'a {
    move |command| _ = command.env(name, value)
}
