//! `--simulation`, `--fault` and `--scenario` of the server, and the commands that know simulation files.

use super::{folder, program};
use crate::support::program::{Program, failed_start};
use crate::support::{eventually, get_at, repository};
use std::process::{Command, Output};

const ONCE: &str = r#"{"version": 1, "faults": [{"request": {"path": "instance/id"}, "instructions": ["return-503"]}],
    "run": [{"scenario": "preemption", "progression": "manual"}]}"#;

async fn status(host: &str) -> u16 {
    get_at(host, "instance/id").await.status.as_u16()
}

#[tokio::test]
async fn a_server_without_the_admin_api_simulates_a_file_and_restores_it_at_sighup() {
    let folder = folder();
    std::fs::write(folder.path().join("s.json"), ONCE).unwrap();
    let mut server = Program::start(|command| {
        command.current_dir(folder.path()).args(["--simulation", "s.json"]);
    });
    let host = server.wait_for("export GCE_METADATA_HOST=");
    assert_eq!((status(&host).await, status(&host).await), (503, 200));
    assert_eq!(get_at(&host, "instance/preempted").await.body, "TRUE");
    assert!(Command::new("kill").args(["-HUP", &server.id().to_string()]).status().unwrap().success());
    eventually("the fault is restored", async || status(&host).await == 503).await;
    server.stop();
}

#[tokio::test]
async fn faults_and_scenarios_of_the_command_line_add_to_files() {
    let folder = folder();
    std::fs::write(folder.path().join("a.json"), ONCE).unwrap();
    std::fs::write(folder.path().join("b.json"), r#"{"version": 1, "settings": {"withoutMaintenance": "empty"}}"#)
        .unwrap();
    let mut server = Program::start(|command| {
        command.current_dir(folder.path()).args(["--simulation", "a.json", "--simulation", "b.json"]);
        command.args(["--fault", "instance/id=return-429", "--fault", "instance/name=return-500"]);
        command.args(["--scenario", "live-migration,progression=manual"]);
    });
    let host = server.wait_for("export GCE_METADATA_HOST=");
    let statuses = (status(&host).await, status(&host).await, status(&host).await);
    assert_eq!(statuses, (429, 503, 200), "those of the command line are tried first");
    assert_eq!(get_at(&host, "instance/name").await.status, 500);
    assert_eq!(get_at(&host, "instance/upcoming-maintenance").await.body, "{}");
    assert_eq!(get_at(&host, "instance/maintenance-event").await.body, "MIGRATE_ON_HOST_MAINTENANCE");
    server.stop();
}

#[test]
fn a_start_with_a_mistake_prints_one_line_with_the_place() {
    let folder = folder();
    std::fs::write(folder.path().join("s.json"), "{\"version\": 1,\n \"faults\": 5}").unwrap();
    let printed = failed_start(program(folder.path(), "--port 0 --simulation s.json"));
    assert_eq!(printed, "error: simulation: s.json:2:12: at /faults: a list is expected\n");
}

/// The exit status and the lines of `check-config`.
fn checked(file: &str, content: &str) -> (Option<i32>, String) {
    let folder = folder();
    std::fs::write(folder.path().join(file), content).unwrap();
    let Output { status, stdout, .. } = program(folder.path(), &format!("check-config {file}")).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap())
}

#[test]
fn check_config_recognizes_a_simulation_file_by_its_version() {
    assert_eq!(checked("s.json", ONCE), (Some(0), "s.json: ok\n".to_owned()));
    let (status, lines) = checked("s.json", r#"{"version": 1, "faults": 5, "settings": {"ready": 1}}"#);
    assert_eq!((status, lines.lines().count()), (Some(1), 2), "{lines}");
    assert!(lines.starts_with("s.json:1:26: error: at /faults: a list is expected\n"), "{lines}");
    let (status, lines) = checked("s.json", r#"{"version": 1, "run": [{"scenario": "mine"}]}"#);
    assert!(status == Some(2) && lines.contains("warning: at /run/0: there is no scenario \"mine\""), "{lines}");
    let (status, lines) = checked("config.json", r#"{"version": 1, "instance": {"name": 5}}"#);
    assert!(status != Some(0) && lines.contains("at instance.name: "), "a config with a version: {lines}");
}

#[test]
fn the_schema_of_a_simulation_is_printed() {
    let printed = program(folder().path(), "schema simulation").output().unwrap().stdout;
    let published = std::fs::read_to_string(repository("docs/simulation.schema.json")).unwrap();
    assert_eq!(String::from_utf8(printed).unwrap(), published);
}
