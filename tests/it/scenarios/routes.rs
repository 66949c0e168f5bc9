//! The routes of the admin API for scenarios.

use crate::admin::{Admin, builder, problem};
use crate::support::{Answer, get, serve};
use gce_metadata_server::Server;
use serde_json::{Value, json};

const BUILT_IN: [&str; 15] = [
    "delete",
    "graceful-shutdown",
    "host-error",
    "host-termination",
    "live-migration",
    "mds-blip",
    "mds-slow-start",
    "preemption",
    "reset",
    "stop",
    "suspend-resume",
    "termination-time",
    "token-outage",
    "token-throttle",
    "upcoming-maintenance",
];

async fn start() -> (Server, Admin) {
    let server = builder().start().await.unwrap();
    let admin = Admin::of(&server).await;
    (server, admin)
}

/// Sets the attribute `color`, and removes it after an hour.
fn color() -> Value {
    let patch = json!({"instance": {"attributes": {"color": "blue"}}});
    json!({"states": [{"state": "Blue", "after": "0s", "patch": patch}], "end": "1h"})
}

/// The pointer of the wrong member.
fn pointer(answer: &Answer) -> Value {
    problem(answer, 422);
    answer.json()["errors"][0]["source"]["pointer"].clone()
}

#[tokio::test]
async fn scenarios_are_listed_in_the_form_of_wiremock() {
    let (_server, mut admin) = start().await;
    let listed = admin.get("scenarios").await.json();
    let scenarios = listed["scenarios"].as_array().unwrap();
    assert_eq!(scenarios.iter().map(|it| it["name"].as_str().unwrap()).collect::<Vec<_>>(), BUILT_IN);
    let expected = json!({
        "id": "preemption", "name": "preemption", "state": "Started", "mappings": [],
        "possibleStates": ["Started", "Preempted", "Off"],
    });
    assert_eq!(scenarios[7], expected, "WireMock's clients refuse other members");
    let detailed = admin.get("scenarios?details=true").await.json();
    assert_eq!(detailed["scenarios"][7], admin.get("scenarios/preemption").await.json());
    for name in BUILT_IN {
        let scenario = admin.get(&format!("scenarios/{name}")).await.json();
        assert_eq!((&scenario["name"], &scenario["builtIn"]), (&name.into(), &true.into()));
        assert!(!scenario["definition"]["description"].as_str().unwrap().is_empty(), "{scenario}");
    }
    assert!(problem(&admin.get("scenarios/preemtion").await, 404).ends_with("did you mean preemption?"));
}

#[tokio::test]
async fn a_run_is_started_moved_and_stopped() {
    let (server, mut admin) = start().await;
    let options = json!({"progression": "manual", "parameters": {"notice": 120}});
    let run = admin.expect(202, "POST", "scenarios/preemption/run", options).await.json();
    let expected = json!({
        "scenario": "preemption", "run": 1, "state": "Preempted", "progression": "manual", "speed": 1.0, "keep": false,
        "elapsed": "0s", "next": {"state": "SoftOff", "at": "2m"},
    });
    assert_eq!(run, expected);
    assert_eq!(admin.get("scenarios/preemption").await.json()["run"], expected);
    assert_eq!(get(&server, "instance/preempted").await.body, "TRUE");
    for (body, state) in [(json!({"by": "1m59s"}), "Preempted"), (json!({"by": 1}), "SoftOff")] {
        let run = admin.expect(200, "POST", "scenarios/preemption/advance", body).await.json();
        assert_eq!(run["state"], state);
    }
    assert_eq!(admin.expect(200, "POST", "scenarios/preemption/step", Value::Null).await.json()["state"], "Off");
    for stopped in [true, false] {
        let answer = admin.expect(200, "POST", "scenarios/preemption/stop", Value::Null).await;
        assert_eq!(answer.json(), json!({"stopped": stopped}));
    }
    assert_eq!(get(&server, "instance/preempted").await.body, "FALSE");
    for path in ["step", "advance"] {
        let body = if path == "advance" { json!({"by": "1s"}) } else { Value::Null };
        problem(&admin.expect(409, "POST", &format!("scenarios/preemption/{path}"), body).await, 409);
    }
}

#[tokio::test]
async fn runs_that_change_the_same_value_are_409() {
    let (_server, mut admin) = start().await;
    admin.expect(202, "POST", "scenarios/live-migration/run", json!({"in": "1h"})).await;
    let again = admin.expect(409, "POST", "scenarios/live-migration/run", Value::Null).await;
    assert!(problem(&again, 409).contains("runs already: stop it"));
    let other = admin.expect(409, "POST", "scenarios/host-termination/run", Value::Null).await;
    let detail = problem(&other, 409);
    assert!(detail.contains("live-migration") && detail.contains("instance/maintenance-event"), "{detail}");
    admin.expect(202, "POST", "scenarios/preemption/run", json!({"progression": "immediate"})).await;
}

#[tokio::test]
async fn wiremocks_clients_set_and_reset_states() {
    let (server, mut admin) = start().await;
    let state = async |admin: &mut Admin| admin.get("scenarios").await.json()["scenarios"][4]["state"].clone();
    admin.expect(200, "PUT", "scenarios/live-migration/state", json!({"state": "Announced"})).await;
    assert_eq!(state(&mut admin).await, "Announced");
    assert_eq!(get(&server, "instance/maintenance-event").await.body, "MIGRATE_ON_HOST_MAINTENANCE");
    for reset in ["PUT scenarios/live-migration/state", "POST scenarios/reset", "POST reset"] {
        admin.expect(200, "PUT", "scenarios/live-migration/state", json!({"state": "Migrated"})).await;
        let (method, path) = reset.split_once(' ').unwrap();
        assert_eq!(admin.expect(200, method, path, Value::Null).await.body, "{}", "{reset}");
        assert_eq!(state(&mut admin).await, "Started", "{reset}");
        assert_eq!(get(&server, "instance/maintenance-event").await.body, "NONE", "{reset}");
    }
    let answer = admin.expect(422, "PUT", "scenarios/live-migration/state", json!({"state": "Off"})).await;
    assert_eq!(pointer(&answer), "/state");
    admin.expect(404, "PUT", "scenarios/none/state", json!({"state": "Off"})).await;
}

#[tokio::test]
async fn own_scenarios_are_defined_run_exported_and_removed() {
    let (server, mut admin) = start().await;
    let before = get(&server, "?recursive=true").await.body;
    admin.expect(201, "PUT", "scenarios/my-color", color()).await;
    admin.expect(204, "PUT", "scenarios/my-color", color()).await;
    assert_eq!(admin.get("scenarios/my-color").await.json()["definition"], color());
    admin.expect(202, "POST", "scenarios/my-color/run", json!({})).await;
    assert_eq!(get(&server, "instance/attributes/color").await.body, "blue");
    let exported = admin.get("export").await.json();
    assert_eq!(exported["simulation"], json!({"version": 1, "scenarios": {"my-color": color()}}));
    assert_eq!(get(&serve(exported).await, "instance/attributes/color").await.body, "blue");
    admin.expect(204, "DELETE", "scenarios/my-color", Value::Null).await;
    assert_eq!(get(&server, "?recursive=true").await.body, before);
    for method in ["GET", "DELETE"] {
        problem(&admin.expect(404, method, "scenarios/my-color", Value::Null).await, 404);
    }
    for built_in in ["preemption", "reset"] {
        problem(&admin.expect(409, "PUT", &format!("scenarios/{built_in}"), color()).await, 409);
        problem(&admin.expect(409, "DELETE", &format!("scenarios/{built_in}"), Value::Null).await, 409);
    }
    assert_eq!(admin.get("export").await.json().get("simulation"), None);
}

#[tokio::test]
async fn wrong_members_are_422_with_their_pointers_and_change_nothing() {
    let (server, mut admin) = start().await;
    let before = (get(&server, "?recursive=true").await.body, admin.get("scenarios?details=true").await.body);
    for (method, path, body, expected) in [
        ("PUT", "scenarios/a", json!({}), "/states"),
        ("PUT", "scenarios/a", json!({"states": [{"state": "On", "after": "soon"}]}), "/states/0/after"),
        (
            "PUT",
            "scenarios/a",
            json!({"states": [{"state": "On", "patch": {"instance": 1}}]}),
            "/states/0/patch/instance",
        ),
        (
            "PUT",
            "scenarios/a",
            json!({"states": [{"state": "On", "faults": [{"request": {}, "response": {"status": "x"}}]}]}),
            "/states/0/faults/0/response/status",
        ),
        ("POST", "scenarios/preemption/run", json!({"notice": 120}), "/notice"),
        ("POST", "scenarios/preemption/run", json!({"parameters": {"notice": 60}}), "/parameters/notice"),
        ("POST", "scenarios/preemption/run", json!({"speed": -1}), "/speed"),
        ("POST", "scenarios/preemption/advance", json!({"by": "soon"}), "/by"),
        ("POST", "scenarios/preemption/advance", json!({}), ""),
    ] {
        let answer = admin.expect(422, method, path, body.clone()).await;
        assert_eq!(pointer(&answer), expected, "{body}");
    }
    problem(&admin.expect(422, "PUT", "scenarios/a%20b", color()).await, 422);
    let after = (get(&server, "?recursive=true").await.body, admin.get("scenarios?details=true").await.body);
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_reset_leaves_nothing_behind() {
    let (server, mut admin) = start().await;
    let seen = async |admin: &mut Admin| {
        (get(&server, "?recursive=true").await.body, admin.get("export").await.body, admin.get("scenarios").await.body)
    };
    let before = seen(&mut admin).await;
    admin.expect(201, "PUT", "scenarios/my-color", color()).await;
    for name in
        ["my-color", "live-migration", "preemption", "graceful-shutdown", "upcoming-maintenance", "mds-blip", "reset"]
    {
        admin.expect(202, "POST", &format!("scenarios/{name}/run"), json!({"keep": name == "my-color"})).await;
    }
    admin.expect(200, "POST", "reset", Value::Null).await;
    assert_eq!(seen(&mut admin).await, before);
}
