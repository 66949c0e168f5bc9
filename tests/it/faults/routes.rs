//! The routes of faults, as WireMock's clients use them.

use super::TOKEN;
use crate::admin::{Admin, builder, problem};
use crate::support::get;
use gce_metadata_server::Server;
use serde_json::{Value, json};

const ID: &str = "0f2b9c1e-7a41-4e0c-9a52-6f3c8d1b7e90";

async fn start() -> (Server, Admin) {
    let server = builder().start().await.unwrap();
    let admin = Admin::of(&server).await;
    (server, admin)
}

/// The ids of all faults, in the order of the list.
async fn ids(admin: &mut Admin) -> Vec<String> {
    let listed = admin.get("mappings").await.json();
    let mappings = listed["mappings"].as_array().unwrap();
    assert_eq!(listed["meta"]["total"], mappings.len());
    mappings.iter().map(|mapping| mapping["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_fault_is_added_shown_replaced_and_removed() {
    let (server, mut admin) = start().await;
    let stub = json!({
        "priority": 1,
        "request": {"method": "GET", "urlPathPattern": "/computeMetadata/v1/instance/service-accounts/[^/]+/token"},
        "response": {"body": "try later", "fixedDelayMilliseconds": 1, "status": 503},
        "persistent": false,
    });
    let added = admin.expect(201, "POST", "mappings", stub.clone()).await.json();
    let id = added["id"].as_str().unwrap().to_owned();
    assert_eq!((&added["uuid"], &added["response"]), (&added["id"], &stub["response"]));
    let counters = |fault: &Value| fault["metadata"]["metadataServer"].clone();
    assert_eq!(counters(&added), json!({"matched": 0, "injected": 0, "completed": false}));
    let answered = get(&server, TOKEN).await;
    assert_eq!((answered.status.as_u16(), answered.body.as_str()), (503, "try later"));

    let path = format!("mappings/{id}");
    let shown = admin.get(&path).await.json();
    assert_eq!(counters(&shown), json!({"matched": 1, "injected": 1, "completed": false}));
    assert_eq!(ids(&mut admin).await, [id.as_str()]);

    let mut changed = shown;
    changed["response"] = json!({"status": 429});
    let replaced = admin.expect(200, "PUT", &path, changed).await.json();
    assert_eq!((&replaced["id"], counters(&replaced)), (&added["id"], counters(&added)), "counters start again");
    assert_eq!(get(&server, TOKEN).await.status, 429);

    assert_eq!(admin.expect(200, "DELETE", &path, Value::Null).await.body, "{}");
    assert_eq!(get(&server, TOKEN).await.status, 200);
    for (method, body) in [("GET", Value::Null), ("DELETE", Value::Null), ("PUT", stub)] {
        problem(&admin.expect(404, method, &path, body).await, 404);
    }
}

#[tokio::test]
async fn what_is_not_supported_is_422_with_its_pointer_and_changes_nothing() {
    let (server, mut admin) = start().await;
    admin.expect(201, "POST", "mappings", json!({"id": ID, "response": {"status": 503}})).await;
    for (document, pointer) in [
        (json!({"response": {"fault": "RANDOM_DATA_THEN_CLOSE"}}), "/response/fault"),
        (json!({"response": {"fault": "MALFORMED_RESPONSE_CHUNK"}}), "/response/fault"),
        (json!({"request": {"bodyPatterns": []}, "response": {}}), "/request/bodyPatterns"),
        (json!({"response": {"status": 503}, "scenarioName": "a"}), "/scenarioName"),
        (json!({"instructions": ["return-503", "explode"]}), "/instructions/1"),
        (json!({"instructions": ["return-503"], "failRequestCount": 1}), "/failRequestCount"),
    ] {
        let import = json!({"mappings": [{"response": {"status": 500}}, document.clone()]});
        for (method, path, body, prefix) in [
            ("POST", "mappings".to_owned(), document.clone(), ""),
            ("PUT", format!("mappings/{ID}"), document.clone(), ""),
            ("POST", "mappings/import".to_owned(), import, "/mappings/1"),
        ] {
            let answer = admin.expect(422, method, &path, body).await;
            problem(&answer, 422);
            assert_eq!(
                answer.json()["errors"][0]["source"]["pointer"],
                format!("{prefix}{pointer}"),
                "{method} {path}"
            );
        }
    }
    assert_eq!(ids(&mut admin).await, [ID]);
    assert_eq!(get(&server, "instance/id").await.status, 503);
}

#[tokio::test]
async fn a_fault_with_the_same_id_is_replaced_in_its_place() {
    let (_server, mut admin) = start().await;
    let fault = |id: Option<&str>, status: u16| json!({"id": id, "response": {"status": status}});
    admin.expect(201, "POST", "mappings", fault(Some(ID), 500)).await;
    let newest = admin.expect(201, "POST", "mappings", fault(None, 502)).await.json();
    admin.expect(201, "POST", "mappings", fault(Some(&ID.to_uppercase()), 503)).await;
    assert_eq!(ids(&mut admin).await, [newest["id"].as_str().unwrap(), ID]);
    assert_eq!(admin.get(&format!("mappings/{ID}")).await.json()["response"]["status"], 503);
}

#[tokio::test]
async fn faults_are_imported_together() {
    let (server, mut admin) = start().await;
    admin.expect(201, "POST", "mappings", json!({"id": ID, "response": {"status": 500}})).await;
    let mappings = json!([
        {"request": {"path": "instance/id"}, "response": {"status": 503}},
        {"request": {"path": "instance/*"}, "response": {"status": 429}},
        {"id": ID, "request": {"path": "instance/zone"}, "response": {"status": 404}},
    ]);
    let import = |options: Value| json!({"mappings": mappings, "importOptions": options});
    admin.expect(200, "POST", "mappings/import", import(json!({"duplicatePolicy": "IGNORE"}))).await;
    assert_eq!(get(&server, "instance/id").await.status, 503, "the first of the body is tried first");
    assert_eq!(admin.get(&format!("mappings/{ID}")).await.json()["response"]["status"], 500);
    let options = json!({"duplicatePolicy": "OVERWRITE", "deleteAllNotInImport": true});
    admin.expect(200, "POST", "mappings/import", import(options)).await;
    assert_eq!(ids(&mut admin).await.len(), 3);
    assert_eq!(admin.get(&format!("mappings/{ID}")).await.json()["response"]["status"], 404);
    problem(&admin.expect(422, "POST", "mappings/import", import(json!({"duplicatePolicy": "x"}))).await, 422);
}

#[tokio::test]
async fn faults_are_removed_by_their_document() {
    let (_server, mut admin) = start().await;
    let stub = |path: &str| json!({"request": {"urlPath": path}, "response": {"status": 503}});
    let first = admin.expect(201, "POST", "mappings", stub("/a")).await.json();
    admin.expect(201, "POST", "mappings", stub("/b")).await;
    admin.expect(201, "POST", "mappings", stub("/c")).await;
    admin.expect(200, "POST", "mappings/remove", first).await;
    admin.expect(200, "POST", "mappings/remove", stub("/c")).await;
    let left = admin.get("mappings").await.json();
    assert_eq!((&left["meta"]["total"], &left["mappings"][0]["request"]["urlPath"]), (&1.into(), &"/b".into()));
}

#[tokio::test]
async fn there_are_at_most_1000_faults() {
    let (_server, mut admin) = start().await;
    let mappings = vec![json!({"response": {}}); 1000];
    admin.expect(200, "POST", "mappings/import", json!({"mappings": mappings})).await;
    let detail = problem(&admin.expect(422, "POST", "mappings", json!({"response": {}})).await, 422);
    assert!(detail.contains("at most 1000 faults"), "{detail}");
}

#[tokio::test]
async fn a_reset_leaves_nothing_behind() {
    let (server, mut admin) = start().await;
    let before = admin.get("export").await.json();
    for path in ["mappings/reset", "reset"] {
        for fault in [
            json!({"request": {"path": "instance/zone"}, "instructions": ["stall-always"]}),
            json!({"response": {"status": 503}, "request": {"path": "instance/id"}}),
            json!({"at": "source", "response": {"status": 503}}),
        ] {
            admin.expect(201, "POST", "mappings", fault).await;
        }
        for path in ["instance/id", TOKEN] {
            assert_eq!(get(&server, path).await.status, 503);
        }
        let exported = admin.get("export").await.json();
        assert_eq!(exported["simulation"]["faults"].as_array().unwrap().len(), 3);
        let hanging = tokio::spawn(super::receive(super::send(&server, "instance/zone").await));
        crate::support::eventually("the request hangs", async || {
            server.faults().list().iter().all(|fault| fault.injected == 1)
        })
        .await;
        assert_eq!(admin.expect(200, "POST", path, Value::Null).await.body, "{}");
        assert_eq!(super::split(&hanging.await.unwrap().0).0, 200, "delays end");
        assert_eq!(ids(&mut admin).await, Vec::<String>::new());
        for path in ["instance/id", "instance/zone"] {
            assert_eq!(get(&server, path).await.status, 200);
        }
        assert_eq!(admin.get("export").await.json(), before);
    }
    server.verify().unwrap();
    // The released request has ended after its reset.
    let latest = admin.get("requests?limit=2").await.json();
    assert!(latest["requests"].as_array().unwrap().iter().all(|it| it.get("stubMapping").is_none()), "{latest}");
}

#[tokio::test]
async fn clearing_removes_all_faults_and_needs_no_content_type() {
    let (server, mut admin) = start().await;
    for (method, path) in [("DELETE", "mappings"), ("POST", "mappings/reset")] {
        admin.expect(201, "POST", "mappings", json!({"response": {"status": 503}})).await;
        assert_eq!(get(&server, "instance/id").await.status, 503);
        assert_eq!(admin.expect(200, method, path, Value::Null).await.body, "{}");
        assert_eq!(get(&server, "instance/id").await.status, 200, "{method} {path}");
    }
}
