//! The commands that change a running server by its admin API, run as a program against a server in this process.

mod connection;
mod exec;
mod journal;
mod metadata;
mod options;
mod tokens;

use gce_metadata_server::{AdminOptions, Server, ServerBuilder};
use std::io::Write;
use std::process::{Command, Stdio};

/// A builder of a server with an admin listener at a free port.
fn builder() -> ServerBuilder {
    Server::builder().admin(AdminOptions::loopback())
}

/// The program, in an environment that has only the URL of the server's admin API.
fn program(server: &Server, args: &[&str]) -> Command {
    let mut command = without_server(args);
    command.env("GCE_METADATA_ADMIN", server.admin_url().unwrap());
    command
}

/// The program in an empty environment.
fn without_server(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Standard output of a command that succeeds. Asserts that standard error is empty.
fn ok(command: Command) -> String {
    with_input(command, "")
}

/// Standard output of a command that succeeds with this standard input.
fn with_input(mut command: Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // A command that reads no standard input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert_eq!((&*String::from_utf8(output.stderr).unwrap(), output.status.code()), ("", Some(0)), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a command that fails with this status: one line, without `error: `. Asserts that standard output is empty.
fn error(mut command: Command, status: i32) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(status), &b""[..]), "{command:?}: {stderr}");
    let error = stderr.strip_prefix("error: ").and_then(|error| error.strip_suffix('\n'));
    let error = error.unwrap_or_else(|| panic!("{command:?}: {stderr}"));
    assert_eq!(error.lines().count(), 1, "{error}");
    error.to_owned()
}
