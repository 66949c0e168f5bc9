//! Reloads of a simulation file that changes while the server runs. No test sleeps: the counter of reloads tells that the file was read.

use super::{File, body, color, fault, status};
use crate::support::{ask_metrics, eventually, get};
use gce_metadata_server::{Fault, Server};
use serde_json::{Value, json};

/// Writes the file, and waits until the server has read it.
async fn change(file: &File, server: &Server, document: &Value) {
    let before = server.simulation_reloads().unwrap().good();
    file.write(document);
    eventually("the file is read", async || server.simulation_reloads().unwrap().good() > before).await;
}

#[tokio::test]
async fn a_changed_file_replaces_its_faults_and_keeps_those_of_run_time() {
    let file = File::of(&json!({"version": 1, "faults": [fault(503)]}));
    let server = file.start().await;
    let _added = server.faults().add(Fault::on("instance/zone").status(429)).unwrap();
    change(&file, &server, &json!({"version": 1, "faults": [fault(500)]})).await;
    eventually("the fault is in force", async || status(&server, "instance/id").await == 500).await;
    assert_eq!(status(&server, "instance/zone").await, 429);
    change(&file, &server, &json!({"version": 1})).await;
    eventually("the fault is removed", async || status(&server, "instance/id").await == 200).await;
    assert_eq!(status(&server, "instance/zone").await, 429);
}

#[tokio::test]
async fn a_change_of_another_member_keeps_the_counters_of_faults() {
    let once = json!({"request": {"path": "instance/id"}, "instructions": ["return-503"]});
    let file = File::of(&json!({"version": 1, "faults": [once]}));
    let server = file.start().await;
    assert_eq!(status(&server, "instance/id").await, 503);
    change(&file, &server, &json!({"version": 1, "faults": [once], "settings": {"withoutMaintenance": "empty"}})).await;
    eventually("the setting is in force", async || body(&server, "instance/upcoming-maintenance").await == "{}").await;
    assert_eq!(status(&server, "instance/id").await, 200, "the instruction is used up");
}

#[tokio::test]
async fn a_mistake_keeps_the_former_simulation_and_is_counted() {
    let file = File::of(&json!({"version": 1, "faults": [fault(503)]}));
    let builder = Server::builder().simulation_file(file.path()).metrics(("127.0.0.1", 0), "/metrics");
    let server = builder.start().await.unwrap();
    file.write_text("{");
    eventually("the mistake is counted", async || server.simulation_reloads().unwrap().bad() == 1).await;
    assert_eq!(status(&server, "instance/id").await, 503);
    let (ready, reasons) = ask_metrics(&server, "/readyz").await;
    assert!(ready == 503 && reasons.contains("a simulation file has a mistake"), "{ready} {reasons}");
    let metrics = ask_metrics(&server, "/metrics").await.1;
    assert!(metrics.contains("metadata_simulation_reloads_total{outcome=\"bad\"} 1"), "{metrics}");
    change(&file, &server, &json!({"version": 1})).await;
    assert_eq!(ask_metrics(&server, "/readyz").await.0, 200);
}

#[tokio::test]
async fn scenarios_follow_the_file_and_no_run_starts_at_a_change() {
    let document =
        |color_name: &str, run: Value| json!({"version": 1, "scenarios": {"drain": color(color_name)}, "run": run});
    let file = File::of(&document("red", json!([])));
    let server = file.start().await;
    change(&file, &server, &document("blue", json!([{"scenario": "drain"}]))).await;
    // The lock of the reload is free when its effects are complete.
    server.start_runs().await.unwrap();
    assert_eq!(body(&server, "instance/attributes/color").await, "blue");
    server.scenario("preemption").manual().run().await.unwrap();
    change(&file, &server, &json!({"version": 1})).await;
    eventually("the run of the removed scenario ends", async || {
        get(&server, "instance/attributes/color").await.status == 404
    })
    .await;
    assert!(server.scenario("drain").run().await.is_err());
    assert_eq!(body(&server, "instance/preempted").await, "TRUE", "the run of another scenario goes on");
}

#[tokio::test]
async fn a_changed_run_does_not_start() {
    let file = File::of(&json!({"version": 1}));
    let server = file.start().await;
    change(&file, &server, &json!({"version": 1, "run": [{"scenario": "preemption"}], "faults": [fault(500)]})).await;
    eventually("the fault is in force", async || status(&server, "instance/id").await == 500).await;
    assert_eq!(body(&server, "instance/preempted").await, "FALSE");
}

#[tokio::test]
async fn the_readiness_follows_the_file() {
    let file = File::of(&json!({"version": 1, "settings": {"ready": false, "notReady": "503"}}));
    let server = file.start().await;
    assert_eq!(status(&server, "instance/id").await, 503);
    change(&file, &server, &json!({"version": 1})).await;
    eventually("the server is ready", async || server.readiness().is_ready()).await;
    change(&file, &server, &json!({"version": 1, "settings": {"ready": false, "notReady": "hang"}})).await;
    eventually("the server is not ready", async || !server.readiness().is_ready()).await;
}
