//! Real clients against the built binary: Google's libraries and curl.
//!
//! `scripts/test` installs the libraries and runs these tests; plain `cargo test` ignores them.

use crate::support::program::Program;
use crate::support::repository;
use std::path::Path;
use std::process::Command;

/// Starts a server and runs a client against it, with nothing else in the client's environment.
fn run(program: &Path, client: &str) {
    let mut server = server_with(&[]);
    client_of(&server.wait_for("export GCE_METADATA_HOST="), program, &[&repository("tests/clients").join(client)]);
}

fn server_with(options: &[&str]) -> Program {
    Program::start(|command| _ = command.arg("--config-file").arg(repository("config.json")).args(options))
}

fn client_of(host: &str, program: &Path, args: &[&Path]) {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", env!("PATH"))
        .env("HOME", home.path())
        .env("NODE_PATH", repository("target/clients/node/node_modules"))
        .envs(["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"].map(|name| (name, host)))
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", program.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{args:?}:\n{}{}", text(&output.stdout), text(&output.stderr));
}

fn python(program: &str) {
    run(&repository("target/clients/venv/bin/python"), &format!("python/{program}"));
}

fn node(program: &str) {
    let packages = repository("target/clients/node/node_modules");
    assert!(packages.is_dir(), "{}: not there; scripts/test installs it", packages.display());
    run(Path::new("node"), &format!("node/{program}"));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_google_auth() {
    python("auth.py");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_google_cloud_storage() {
    python("storage.py");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn node_gcp_metadata() {
    node("metadata.js");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn node_google_auth_library() {
    node("auth.js");
}

#[test]
fn curl() {
    run(Path::new("bash"), "curl.sh");
}

#[test]
fn curl_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("metadata.sock");
    let mut server = server_with(&["--domain-socket", socket.to_str().unwrap()]);
    server.wait_for("# Serving ");
    client_of("", Path::new("bash"), &[&repository("tests/clients/curl.sh"), &socket]);
}
