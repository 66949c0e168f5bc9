//! What a reload on request (SIGHUP) and the resets of the admin API restore from a simulation file.

use super::{File, body, color, fault, status};
use crate::admin::{Admin, builder, problem};
use gce_metadata_server::{Fault, Server};
use serde_json::{Value, json};

fn document() -> Value {
    json!({
        "version": 1,
        "faults": [fault(503)],
        "scenarios": {"drain": color("blue")},
        "run": [{"scenario": "drain"}],
        "settings": {"withoutMaintenance": "empty"},
    })
}

/// Changes at run time what the file says.
async fn disturb(server: &Server, admin: &mut Admin) {
    server.faults().clear();
    server.faults().add(Fault::on("instance/zone").status(429)).unwrap().keep();
    admin.expect(204, "PUT", "scenarios/drain", color("red")).await;
    admin.expect(201, "PUT", "scenarios/mine", color("green")).await;
    admin.expect(200, "POST", "scenarios/drain/stop", Value::Null).await;
    admin.expect(200, "POST", "settings", json!({"withoutMaintenance": "unavailable", "fixedDelay": 5})).await;
    server.publisher().set("instance/name", "edited").unwrap();
}

async fn assert_restored(server: &Server, admin: &mut Admin) {
    assert_eq!(status(server, "instance/id").await, 503);
    assert_eq!(status(server, "instance/zone").await, 200);
    assert_eq!(body(server, "instance/attributes/color").await, "blue");
    assert_eq!(body(server, "instance/upcoming-maintenance").await, "{}");
    assert_eq!(admin.get("scenarios/mine").await.status, 404);
    assert_eq!(admin.get("settings").await.json()["fixedDelay"], 0);
    let run = &admin.get("scenarios/drain").await.json()["run"];
    assert_eq!(run["state"], "Colored");
}

#[tokio::test]
async fn a_reload_on_request_restores_what_the_file_says_and_starts_its_runs_again() {
    let config = tempfile::tempdir().unwrap();
    let config = config.path().join("config.json");
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(
        &config,
        r#"{"instance": {"id": 7, "name": "vm-7", "zone": "projects/1/zones/a", "attributes": {}}}"#,
    )
    .unwrap();
    let file = File::of(&document());
    let server = builder().metadata_file(&config).simulation_file(file.path()).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    for _ in 0..2 {
        disturb(&server, &mut admin).await;
        server.reload().await.unwrap();
        assert_restored(&server, &mut admin).await;
        assert_eq!(body(&server, "instance/name").await, "vm-7");
    }
    file.write_text("{");
    let error = server.reload().await.unwrap_err().to_string();
    assert!(error.starts_with(&file.path().display().to_string()), "{error}");
    assert_eq!(status(&server, "instance/id").await, 503);
}

#[tokio::test]
async fn a_reset_of_the_admin_api_restores_what_the_file_says() {
    let file = File::of(&document());
    let server = builder().simulation_file(file.path()).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    disturb(&server, &mut admin).await;
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_restored(&server, &mut admin).await;
    file.write_text("{");
    disturb(&server, &mut admin).await;
    let answer = admin.expect(422, "POST", "reset", Value::Null).await;
    assert!(problem(&answer, 422).starts_with("the simulation: "), "{}", answer.body);
    assert_restored(&server, &mut admin).await;
}

#[tokio::test]
async fn a_reset_of_mappings_restores_the_faults_and_one_of_scenarios_ends_the_runs() {
    let file = File::of(&document());
    let server = builder().simulation_file(file.path()).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(200, "DELETE", "mappings", Value::Null).await;
    assert_eq!(status(&server, "instance/id").await, 200);
    admin.expect(200, "POST", "mappings/reset", Value::Null).await;
    assert_eq!(status(&server, "instance/id").await, 503);
    admin.expect(200, "POST", "scenarios/reset", Value::Null).await;
    assert_eq!(status(&server, "instance/attributes/color").await, 404);
    assert_eq!(admin.get("scenarios/drain").await.status, 200, "the scenario stays");
}
