//! `--exit-with-parent`: the server drains and exits when the process that started it has ended.

use super::{Running, folder, program};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

const SERVER: &str = env!("CARGO_BIN_EXE_gce-metadata-server");

/// A shell script that starts the server: `"$@"` is its command line. The server serves at a Unix socket.
fn parent(folder: &Path, shell: &[&str], script: &str) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script, "sh", SERVER, "--exit-with-parent"]);
    command.args(["--domain-socket", "metadata.sock"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn rest(stream: Option<impl Read>) -> String {
    let mut text = String::new();
    stream.unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn the_server_exits_when_its_parent_is_killed() {
    let folder = folder();
    let mut shell = parent(folder.path(), &["sh"], "\"$@\" & wait").spawn().unwrap();
    let mut out = shell.stdout.take().unwrap();
    // The first line follows the start.
    out.read_exact(&mut [0; 9]).unwrap();
    assert!(folder.path().join("metadata.sock").exists());
    shell.kill().unwrap();
    shell.wait().unwrap();
    // Both ends of the pipe are those of the server, which closes them when it exits.
    let log = rest(shell.stderr.take());
    assert!(log.contains("the parent process has ended") && log.contains("stopping"), "{log}");
    assert!(!folder.path().join("metadata.sock").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn the_server_exits_if_its_parent_has_ended_before_the_start() {
    let folder = folder();
    // The session of the shell has no other process than its own children, so the process that adopts them is in another one.
    let wait_for_end = "P=$$; (while kill -0 $P 2>/dev/null; do :; done; exec \"$@\") & exit";
    let mut shell = parent(folder.path(), &["setsid", "sh"], wait_for_end).spawn().unwrap();
    shell.wait().unwrap();
    let log = rest(shell.stderr.take());
    assert!(log.contains("the parent process has ended"), "{log}");
    assert!(!folder.path().join("metadata.sock").exists());
}

#[test]
fn the_server_exits_when_standard_input_ends() {
    let folder = folder();
    let mut command = program(folder.path(), "--port 0 --exit-with-parent");
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    assert_eq!(running.get("project/project-id"), "sample-project");
    drop(running.child.stdin.take());
    let log = rest(running.child.stderr.take());
    assert!(log.contains("standard input has ended") && log.contains("stopping"), "{log}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

/// A parent that was killed reads neither standard output nor standard error.
#[test]
fn the_drain_needs_no_reader_of_the_log() {
    let folder = folder();
    let mut command = program(folder.path(), "--domain-socket metadata.sock --exit-with-parent");
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    drop((running.child.stdout.take(), running.child.stderr.take()));
    drop(running.child.stdin.take());
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
    assert!(!folder.path().join("metadata.sock").exists());
}

#[test]
fn a_device_as_standard_input_does_not_end_the_server() {
    let folder = folder();
    let running = Running::start(program(folder.path(), "--port 0 --exit-with-parent"));
    assert_eq!(running.get("project/project-id"), "sample-project");
    let (status, log) = running.stop("-TERM");
    assert!(status == Some(0) && !log.contains("has ended"), "{log}");
}

#[test]
fn standard_input_is_left_alone_without_the_option() {
    let folder = folder();
    let mut command = program(folder.path(), "--port 0 --exit-with-parent=false");
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    drop(running.child.stdin.take());
    assert_eq!(running.get("project/project-id"), "sample-project");
    assert_eq!(running.stop("-TERM").0, Some(0));
}
