//! Real guest software from Debian's packages, booted on an isolated machine (`tests/clients/guest`).
//!
//! The machine consists of Linux namespaces and an overlay file system, so that the host is not changed. This needs root.

use crate::support::repository;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Boots a machine with the server in it and runs a script there.
fn boot(program: &str) {
    const ISOLATED: [&str; 7] = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"];
    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = Command::new(if is_root { "unshare" } else { "sudo" });
    if !is_root {
        command.arg("unshare");
    }
    let guest = repository("tests/clients/guest");
    let server = Path::new(env!("CARGO_BIN_EXE_gce-metadata-server"));
    command.args(ISOLATED).arg("bash").args([&guest.join("machine.sh"), server, &guest.join("vm.json")]).arg(program);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{program}: {}{}", text(&output.stdout), text(&output.stderr));
}

#[test]
#[ignore = "needs root, and the packages that scripts/test unpacks"]
fn google_os_login() {
    boot("oslogin.sh");
}

#[test]
#[ignore = "needs root, and the packages that scripts/test unpacks"]
fn google_guest_agent() {
    boot("guest-agent.sh");
}

#[test]
#[ignore = "needs root, and the packages that scripts/test unpacks"]
fn google_clock_skew_daemon_sets_the_clock_after_a_live_migration() {
    boot("clock-skew.sh");
}

#[test]
#[ignore = "needs root, and the packages that scripts/test unpacks"]
fn cloud_init() {
    boot("cloud-init.sh");
}

#[test]
#[ignore = "needs root, and the packages that scripts/test unpacks"]
fn facter() {
    boot("facter.sh");
}
