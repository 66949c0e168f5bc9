//! Schemathesis sends thousands of requests that `openapi.json` allows or nearly allows, and compares the answers with it.

use crate::support::program::Program;
use crate::support::repository;
use std::process::Command;

/// `/shutdown` would end the server, `/requests/verify` waits longer than Schemathesis, and `/events` does not end. The seed makes a
/// failure repeatable.
#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn answers_are_those_that_openapi_describes() {
    let mut server = Program::start(|command| _ = command.args(["--admin", "0"]));
    let admin = server.wait_for("export GCE_METADATA_ADMIN=");
    let schemathesis = repository("target/clients/venv/bin/schemathesis");
    // It writes a cache into the current folder.
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(&schemathesis)
        .current_dir(folder.path())
        .args(["run", &format!("{admin}/__admin/openapi.json"), "--seed", "1", "--no-color"])
        .args(["--max-examples", "20", "--max-time", "45", "--exclude-path", "/__admin/shutdown"])
        .args(["--exclude-path", "/__admin/requests/verify", "--exclude-path", "/__admin/events"])
        .args(["--checks", "not_a_server_error,status_code_conformance"])
        .args(["--checks", "content_type_conformance,response_schema_conformance"])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/test installs it", schemathesis.display()));
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && report.contains("passed"), "{report}");
    server.stop();
}
