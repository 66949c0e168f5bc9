//! `deploy/systemd`: systemd's own checks of the unit. No test starts it, because that needs systemd as the first process.

use crate::support::repository;
use std::process::Command;

const UNIT: &str = "deploy/systemd/gce-metadata-server.service";
/// Of 100. Open to attacks are the network and the file system, which the server reads; half of it is allowed for systemd's later checks.
const MAX_EXPOSURE: &str = "20";

fn analyze(args: &[&str], unit: &std::path::Path) {
    let output = Command::new("systemd-analyze").args(args).arg(unit).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.is_empty(), "{args:?}: {stdout}{stderr}");
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn systemd_knows_all_settings_of_the_unit() {
    let unit = std::fs::read_to_string(repository(UNIT)).unwrap();
    let installed = "/usr/local/bin/gce-metadata-server";
    assert!(unit.contains(&format!("ExecStart={installed} ")), "{unit}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gce-metadata-server.service");
    std::fs::write(&file, unit.replace(installed, env!("CARGO_BIN_EXE_gce-metadata-server"))).unwrap();
    analyze(&["verify"], &file);
}

#[test]
#[ignore = "needs the packages that scripts/test installs"]
fn the_unit_has_few_rights() {
    analyze(&["security", "--offline=true", &format!("--threshold={MAX_EXPOSURE}"), "--no-pager"], &repository(UNIT));
}
