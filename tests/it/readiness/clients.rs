//! Google's libraries, in programs that start before the server is ready.

use crate::support::repository;
use std::path::Path;
use std::process::{Command, Output};

const TOKEN: &str = "ya29.made-up-by-the-server";

/// Runs this script by `exec` with these options; its arguments are a client's command. Asserts that the client prints the token.
fn assert_prints_token(options: &[&str], script: &str, client: &[&Path]) {
    let home = tempfile::tempdir().unwrap();
    let mut exec = Command::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    exec.arg("exec").args(options).args(["--", "sh", "-c", script, "sh"]).args(client);
    exec.env_clear().env("PATH", env!("PATH")).env("HOME", home.path()).env("GOOGLE_ACCESS_TOKEN", TOKEN);
    let Output { status, stdout, stderr } = exec.output().unwrap();
    assert!(status.success(), "{options:?}: {}", String::from_utf8_lossy(&stderr));
    assert_eq!(String::from_utf8_lossy(&stdout).trim(), TOKEN, "{options:?}");
}

/// Fails unless the server refuses connections, for which curl's exit status is 7.
const REFUSED: &str = "curl -s http://$GCE_METADATA_HOST/; test $? = 7 || exit 9; ";

/// Fails unless the server answers 503.
const UNAVAILABLE: &str = "test $(curl -s -o /dev/null -w '%{http_code}' http://$GCE_METADATA_HOST/) = 503 || exit 9; ";

/// The library pings the server three times, at 0 s, about 1 s and about 3 s.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn python_google_auth_waits_for_a_server_that_refuses_for_two_seconds() {
    let python = repository("target/clients/venv/bin/python");
    let client = [python.as_path(), &repository("tests/clients/python/adc.py")];
    assert_prints_token(&["--ready-after", "2s"], &format!("{REFUSED}exec \"$@\""), &client);
}

/// The library retries with random delays of at most three seconds in all, so the program repeats what fails.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn go_metadata_gets_its_token_from_a_server_that_becomes_ready() {
    let client = repository("target/clients/go/adc");
    let repeat = "until \"$@\" 2> /dev/null; do :; done";
    assert_prints_token(&["--ready-after", "3s"], &format!("{REFUSED}{repeat}"), &[&client]);
    let unavailable = ["--ready-after", "3s", "--not-ready", "503"];
    assert_prints_token(&unavailable, &format!("{UNAVAILABLE}{repeat}"), &[&client]);
}
