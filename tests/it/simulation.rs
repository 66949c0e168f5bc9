//! Simulation files: start, reload, restoration, mistakes, export, and the JSON Schema.

mod export;
mod mistakes;
mod reload;
mod restore;
mod schema;

use crate::support::get;
use gce_metadata_server::Server;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

const FAULT_ID: &str = "0f2b9c1e-7a41-4e0c-9a52-6f3c8d1b7e90";

/// A simulation file in a new folder.
struct File {
    folder: TempDir,
}

impl File {
    fn of(document: &Value) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        file.write(document);
        file
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("simulation.json")
    }

    fn write(&self, document: &Value) {
        self.write_text(&document.to_string());
    }

    fn write_text(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    async fn start(&self) -> Server {
        Server::builder().simulation_file(self.path()).start().await.unwrap()
    }
}

/// A fault of `instance/id` with this status.
fn fault(status: u16) -> Value {
    json!({"id": FAULT_ID, "request": {"path": "instance/id"}, "response": {"status": status}})
}

/// A scenario that sets the attribute `color`.
fn color(color: &str) -> Value {
    json!({"states": [{"state": "Colored", "patch": {"instance": {"attributes": {"color": color}}}}]})
}

async fn status(server: &Server, path: &str) -> u16 {
    get(server, path).await.status.as_u16()
}

async fn body(server: &Server, path: &str) -> String {
    get(server, path).await.body
}

#[tokio::test]
async fn a_server_starts_with_the_faults_scenarios_runs_and_settings_of_a_file() {
    let file = File::of(&json!({
        "version": 1,
        "faults": [fault(503)],
        "scenarios": {"drain": color("blue")},
        "run": [{"scenario": "drain"}, {"scenario": "preemption", "progression": "manual"}],
        "settings": {"withoutMaintenance": "empty", "rateLimits": true},
    }));
    let server = file.start().await;
    assert_eq!(status(&server, "instance/id").await, 503);
    assert_eq!(body(&server, "instance/attributes/color").await, "blue");
    assert_eq!(body(&server, "instance/preempted").await, "TRUE");
    assert_eq!(body(&server, "instance/upcoming-maintenance").await, "{}");
    let mut limited = 0;
    for _ in 0..20 {
        limited += u32::from(status(&server, "instance/guest-attributes/").await == 429);
    }
    assert!(limited > 0, "the rate limits are enforced");
}

#[tokio::test]
async fn a_server_that_a_file_sets_not_ready_serves_no_request() {
    for (settings, expected) in [
        (json!({"ready": false}), None),
        (json!({"ready": false, "notReady": "503"}), Some(503)),
        (json!({"ready": true, "notReady": "503"}), Some(200)),
    ] {
        let server = File::of(&json!({"version": 1, "settings": settings})).start().await;
        let connected = tokio::net::TcpStream::connect(server.address().socket_addr().unwrap()).await;
        assert_eq!(connected.is_ok(), expected.is_some(), "{settings}");
        if let Some(expected) = expected {
            assert_eq!(status(&server, "instance/id").await, expected, "{settings}");
        }
        server.readiness().set_ready().await.unwrap();
        assert_eq!(status(&server, "instance/id").await, 200);
    }
}

#[tokio::test]
async fn several_files_and_the_builder_add_up() {
    let first = File::of(&json!({"version": 1, "faults": [fault(503)], "run": [{"scenario": "drain"}]}));
    let second = File::of(&json!({"version": 1, "scenarios": {"drain": color("red")}, "settings": {"fixedDelay": 1}}));
    let given =
        json!({"version": 1, "faults": [{"request": {"path": "instance/zone"}, "instructions": ["return-429"]}]});
    let given = gce_metadata_server::Simulation::from_json(&given).unwrap();
    let builder = Server::builder().simulation_file(first.path()).simulation_file(second.path()).simulation(given);
    let server = builder.start().await.unwrap();
    assert_eq!(status(&server, "instance/id").await, 503);
    assert_eq!(status(&server, "instance/zone").await, 429);
    assert_eq!(body(&server, "instance/attributes/color").await, "red");
    assert_eq!(server.answer_delays().get().fixed, std::time::Duration::from_millis(1));
}

#[tokio::test]
async fn deferred_runs_start_when_they_are_started() {
    let file = File::of(&json!({"version": 1, "run": [{"scenario": "preemption", "progression": "manual"}]}));
    let server = Server::builder().simulation_file(file.path()).defer_runs().start().await.unwrap();
    assert_eq!(body(&server, "instance/preempted").await, "FALSE");
    server.start_runs().await.unwrap();
    assert_eq!(body(&server, "instance/preempted").await, "TRUE");
}
