//! The options of the admin listener: `--admin`, `--admin-socket`, `--admin-token-file` and `--admin-host`.

use super::{error, ok, without_server};
use crate::support::program::Program;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;

/// Runs `get` with this URL and further options.
fn get_with(url: &str, options: &[&str]) -> std::process::Command {
    let mut command = without_server(&["get", "instance/preempted", "--admin-url", url]);
    command.args(options);
    command
}

#[test]
fn the_start_message_exports_the_address_of_the_admin_api() {
    let mut server = Program::start(|command| _ = command.args(["--admin", "0"]));
    let url = server.wait_for("export GCE_METADATA_ADMIN=");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert_eq!(ok(get_with(&url, &[])), "FALSE\n");
}

#[test]
fn the_json_start_message_has_the_address_of_the_admin_api() {
    let start = |options: &[&str]| {
        let mut server = Program::start(|command| _ = command.args(["--announce", "json"]).args(options));
        (serde_json::from_str::<Value>(&format!("{{{}", server.wait_for("{"))).unwrap(), server)
    };
    assert_eq!(start(&[]).0.get("admin"), None);
    let (message, _server) = start(&["--admin", "127.0.0.1:0"]);
    assert_eq!(ok(get_with(message["admin"].as_str().unwrap(), &[])), "FALSE\n");
}

#[test]
fn an_admin_listener_for_other_machines_requires_a_token() {
    for admin in ["0.0.0.0:0", "[::]:0"] {
        let refused = error(without_server(&["--port", "0", "--admin", admin]), 1);
        assert!(refused.contains("--admin-token-file or GCE_METADATA_ADMIN_TOKEN"), "{refused}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "made-up\n").unwrap();
    let file = file.to_str().unwrap();
    let mut server = Program::start(|command| {
        command.args(["--admin", "0.0.0.0:0", "--admin-token-file", file]);
    });
    let url = server.wait_for("export GCE_METADATA_ADMIN=");
    assert!(url.starts_with("http://127.0.0.1:"), "an address that clients can reach: {url}");
    assert!(error(get_with(&url, &[]), 1).contains("the admin token is missing or wrong"));
    assert_eq!(ok(get_with(&url, &["--admin-token-file", file])), "FALSE\n");
}

#[test]
fn the_admin_socket_is_for_this_user_only() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let mut server = Program::start(|command| _ = command.arg("--admin-socket").arg(&socket));
    let url = server.wait_for("export GCE_METADATA_ADMIN=");
    assert_eq!(url, format!("unix:{}", socket.display()));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ok(get_with(&url, &[])), "FALSE\n");
    server.stop();
    assert!(!socket.exists());
}

#[test]
fn wrong_options_name_the_fault() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let empty = empty.to_str().unwrap();
    for (options, expected) in [
        (&["--admin", "x"][..], "--admin x: a port is a number"),
        (&["--admin", "0", "--admin-socket", "a"], "cannot be used with"),
        (&["--admin", "0", "--admin-token-file", "/no/such/file"], "--admin-token-file /no/such/file: No such file"),
        (&["--admin", "0", "--admin-token-file", empty], "the file is empty"),
        (&["--admin", "0", "--admin-host", "a/b"], "a/b"),
    ] {
        let mut command = without_server(&["--port", "0"]);
        command.args(options);
        let refused = error(command, 1);
        assert!(refused.contains(expected), "{refused}");
    }
}
