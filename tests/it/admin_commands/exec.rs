//! The command of `exec` finds the admin API of its server.

use super::without_server;
use std::process::Command;

/// `exec` with these options and a shell script, in which `$SERVER` is the program.
fn shell(options: &[&str], script: &str) -> Command {
    let mut exec = without_server(&["exec"]);
    exec.args(options).args(["--", "sh", "-c", script]);
    exec.env("PATH", env!("PATH")).env("SERVER", env!("CARGO_BIN_EXE_gce-metadata-server"));
    exec
}

#[test]
fn the_command_changes_the_metadata_of_its_server() {
    let script = "$SERVER set instance/preempted TRUE && \
        curl -sf -H Metadata-Flavor:Google http://$GCE_METADATA_HOST/computeMetadata/v1/instance/preempted";
    assert_eq!(super::ok(shell(&[], script)), "TRUE");
}

#[test]
fn the_command_gets_the_token_of_the_admin_api() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "made-up\n").unwrap();
    let script =
        "env -u GCE_METADATA_ADMIN_TOKEN $SERVER get instance/preempted 2> /dev/null; $SERVER get instance/preempted";
    assert_eq!(super::ok(shell(&["--admin-token-file", token.to_str().unwrap()], script)), "FALSE\n");
    let mut inherited = shell(&[], script);
    inherited.env("GCE_METADATA_ADMIN_TOKEN", "made-up");
    assert_eq!(super::ok(inherited), "FALSE\n");
}

#[test]
fn the_command_can_stop_its_server_and_goes_on() {
    let script = "curl -sf -X POST $GCE_METADATA_ADMIN/__admin/shutdown; \
        while curl -s -o /dev/null http://$GCE_METADATA_HOST/; do :; done; echo stopped";
    assert_eq!(super::ok(shell(&[], script)), "{}stopped\n");
}

#[test]
fn the_command_finds_the_unix_socket_from_another_folder() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell(&["--admin-socket", "admin.sock"], "cd /; $SERVER get instance/preempted");
    command.current_dir(folder.path());
    assert_eq!(super::ok(command), "FALSE\n");
}

#[test]
fn without_the_admin_api_the_command_has_no_address() {
    let mut command = shell(&["--no-admin"], "echo \"${GCE_METADATA_ADMIN-unset} ${GCE_METADATA_ADMIN_TOKEN-unset}\"");
    command.env("GCE_METADATA_ADMIN", "http://127.0.0.1:1").env("GCE_METADATA_ADMIN_TOKEN", "made-up");
    assert_eq!(super::ok(command), "unset unset\n", "the inherited address is that of another server");
    let refused = super::error(shell(&["--no-admin", "--admin", "0"], "true"), 2);
    assert!(refused.contains("cannot be used with '--admin"), "{refused}");
}

#[test]
fn exec_serves_the_admin_api_at_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    let script = "echo $GCE_METADATA_ADMIN; $SERVER get instance/preempted";
    let expected = format!("unix:{}\nFALSE\n", socket.display());
    assert_eq!(super::ok(shell(&["--admin-socket", socket.to_str().unwrap()], script)), expected);
}
