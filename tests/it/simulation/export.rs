//! The `simulation` of an exported document: another server that starts with it answers the same.

use super::{File, body, color, fault, status};
use crate::admin::{Admin, builder};
use crate::support::get;
use gce_metadata_server::{ConfigDocument, Server, Simulation};
use serde_json::json;

#[tokio::test]
async fn a_server_that_starts_with_the_export_answers_the_same() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(201, "POST", "mappings", fault(503)).await;
    admin.expect(201, "PUT", "scenarios/drain", color("blue")).await;
    let distribution = json!({"type": "uniform", "lower": 1, "upper": 2});
    let settings =
        json!({"withoutMaintenance": "empty", "fixedDelay": 1, "delayDistribution": distribution, "notReady": "503"});
    admin.expect(200, "POST", "settings", settings).await;
    admin.expect(204, "PUT", "metadata/instance/name", "edited").await;
    let exported = admin.get("export").await.json();

    // As --config-file and --simulation take it.
    let metadata = ConfigDocument::from_json(exported.clone()).unwrap().metadata;
    let file = File::of(&exported);
    let other = builder().metadata(metadata).simulation_file(file.path()).start().await.unwrap();
    let mut other_admin = Admin::of(&other).await;
    assert_eq!(other_admin.get("export").await.json(), exported);
    assert_eq!(other_admin.get("settings").await.json(), admin.get("settings").await.json());
    assert_eq!((status(&other, "instance/id").await, &*body(&other, "instance/name").await), (503, "edited"));
    for path in ["instance/upcoming-maintenance", "instance/zone", "instance/id"] {
        assert_eq!(get(&other, path).await.body, get(&server, path).await.body);
    }
    Simulation::from_json(&exported["simulation"]).unwrap();
}

#[tokio::test]
async fn an_export_without_changes_has_no_simulation() {
    let server: Server = builder().start().await.unwrap();
    assert_eq!(Admin::of(&server).await.get("export").await.json().get("simulation"), None);
}
