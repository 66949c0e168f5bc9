//! WireMock's own clients read the journal, and make and remove faults.

use crate::support::repository;
use std::path::Path;
use std::process::Command;

/// Runs a program by `exec`, which passes it the address of the admin API.
fn run(interpreter: &Path, options: &[&str], program: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"))
        .args(["exec", "--"])
        .arg(interpreter)
        .args(options)
        .arg(repository("tests/clients").join(program))
        .env("NODE_PATH", repository("target/clients/node/node_modules"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_wiremock_reads_the_journal() {
    run(&repository("target/clients/venv/bin/python"), &[], "python/journal.py");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_wiremock_makes_and_removes_faults() {
    run(&repository("target/clients/venv/bin/python"), &[], "python/faults.py");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn node_wiremock_captain_makes_and_removes_faults() {
    run(Path::new("node"), &[], "node/faults.js");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn node_wiremock_captain_reads_the_journal() {
    run(Path::new("node"), &[], "node/journal.js");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn java_wiremock_reads_the_journal() {
    let libraries = format!("{}/*", repository("target/clients/java").display());
    run(Path::new("java"), &["-cp", &libraries], "java/Journal.java");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn java_wiremock_makes_and_removes_faults() {
    let libraries = format!("{}/*", repository("target/clients/java").display());
    run(Path::new("java"), &["-cp", &libraries], "java/Faults.java");
}
