//! `/__admin/metadata`.

use super::{Admin, builder, problem};
use crate::support::{Client, eventually, get};
use gce_metadata_server::{Metadata, Server};
use serde_json::{Value, json};

async fn start() -> (Server, Admin) {
    let server = builder().start().await.unwrap();
    let admin = Admin::of(&server).await;
    (server, admin)
}

#[tokio::test]
async fn get_shows_the_document_and_values_in_the_form_of_a_config() {
    let (server, mut admin) = start().await;
    let document = admin.get("metadata").await;
    assert_eq!(document.json()["computeMetadata"]["v1"]["project"]["projectId"], "sample-project");
    assert_eq!(admin.get("metadata/instance/preempted").await.json(), "FALSE");
    assert_eq!(admin.get("metadata/instance/disks/0/deviceName").await.status, 404, "a path has the spelling of URLs");
    assert_eq!(admin.get("metadata/instance/disks/0/device-name").await.json(), "boot");
    let generation = document.header("metadata-generation").unwrap().to_owned();
    assert_eq!(generation, "0");
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    assert_eq!(admin.get("metadata").await.header("metadata-generation"), Some("1"));
}

/// Defaults that the config does not have, and computed values, are no part of a config.
#[tokio::test]
async fn defaults_and_computed_values_are_not_found() {
    let server = builder().metadata(Metadata::empty()).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    for path in ["instance/service-accounts/default/token", "instance/maintenance-event", "instance/none"] {
        let answer = admin.get(&format!("metadata/{path}")).await;
        assert!(problem(&answer, 404).starts_with(path), "{path}");
    }
}

#[tokio::test]
async fn put_creates_or_replaces_a_value_in_json_or_text() {
    let (server, mut admin) = start().await;
    admin.expect(201, "PUT", "metadata/instance/attributes/new", "a").await;
    admin.expect(204, "PUT", "metadata/instance/attributes/new", "b").await;
    assert_eq!(get(&server, "instance/attributes/new").await.body, "b");
    let text = [("content-type", "text/plain")];
    assert_eq!(admin.send("PUT", "metadata/instance/attributes/new", &text, "true").await.status, 204);
    assert_eq!(admin.get("metadata/instance/attributes/new").await.json(), "true", "text is a string");
    admin.expect(201, "PUT", "metadata/instance/my-own", json!({"aKey": {"below": 1}})).await;
    assert_eq!(get(&server, "instance/my-own/a-key/below").await.body, "1");
    // Percent-encoding is decoded.
    admin.expect(201, "PUT", "metadata/instance/attributes/a%2Eb", "c").await;
    assert_eq!(admin.get("metadata/instance/attributes/a%2Eb").await.json(), "c");
}

#[tokio::test]
async fn patch_changes_several_values_in_one_snapshot() {
    let (server, mut admin) = start().await;
    let patch =
        json!({"preempted": "TRUE", "maintenanceEvent": "TERMINATE_ON_HOST_MAINTENANCE", "attributes": {"foo": null}});
    admin.expect(204, "PATCH", "metadata/instance", patch).await;
    assert_eq!(get(&server, "instance/preempted").await.body, "TRUE");
    assert_eq!(admin.get("metadata").await.header("metadata-generation"), Some("1"));
    for document in
        [json!({"computeMetadata": {"v1": {"project": {"projectId": "p"}}}}), json!({"project": {"projectId": "q"}})]
    {
        admin.expect(204, "PATCH", "metadata", document).await;
    }
    assert_eq!(get(&server, "project/project-id").await.body, "q");
    let merge_patch = [("content-type", "application/merge-patch+json"), ("prefer", "return=representation")];
    let answer = admin.send("PATCH", "metadata/project", &merge_patch, r#"{"projectId": "r"}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["projectId"]), (200, &"r".into()));
}

#[tokio::test]
async fn a_long_poll_of_the_root_wakes_once_for_a_patch() {
    let (server, mut admin) = start().await;
    let tag = get(&server, "?recursive=true").await.etag().to_owned();
    let mut waiting = Client::connect(&server).await;
    let poll = format!("?recursive=true&wait_for_change=true&last_etag={tag}");
    let woken = tokio::spawn(async move { (waiting.get(&poll).await, waiting) });
    admin
        .expect(204, "PATCH", "metadata", json!({"instance": {"preempted": "TRUE"}, "project": {"projectId": "p"}}))
        .await;
    let (answer, mut waiting) = woken.await.unwrap();
    let shown = answer.json();
    assert_eq!((&shown["instance"]["preempted"], &shown["project"]["projectId"]), (&"TRUE".into(), &"p".into()));
    let again =
        waiting.get(&format!("?recursive=true&wait_for_change=true&timeout_sec=0&last_etag={}", answer.etag())).await;
    assert_eq!(again.etag(), answer.etag(), "there is no second change");
}

#[tokio::test]
async fn delete_removes_a_value() {
    let (server, mut admin) = start().await;
    admin.expect(201, "PUT", "metadata/instance/attributes/foo", "bar").await;
    admin.expect(204, "DELETE", "metadata/instance/attributes/foo", Value::Null).await;
    assert_eq!(get(&server, "instance/attributes/foo").await.status, 404);
    problem(&admin.expect(404, "DELETE", "metadata/instance/attributes/foo", Value::Null).await, 404);
}

#[tokio::test]
async fn put_of_the_document_replaces_all_and_is_read_as_a_config_file() {
    let (server, mut admin) = start().await;
    admin.expect(204, "PUT", "metadata", json!({"computeMetadata": {"v1": {"instance": {"id": 7}}}})).await;
    assert_eq!(get(&server, "instance/id").await.body, "7");
    assert_eq!(get(&server, "project/project-id").await.status, 404);
    assert_eq!(get(&server, "instance/name").await.status, 200, "a document without name and zone is filled in");
    admin.expect(204, "PATCH", "metadata/instance", json!({"name": null, "zone": null})).await;
    assert_eq!(get(&server, "instance/name").await.status, 404, "an edit fills nothing in");
}

#[tokio::test]
async fn conditions_are_checked_with_the_edit() {
    let (_server, mut admin) = start().await;
    let path = "metadata/instance/preempted";
    let shown = admin.get(path).await;
    let tag = shown.etag().to_owned();
    assert!(tag.starts_with('"') && tag.len() == 18, "{tag}");
    let put = async |admin: &mut Admin, name: &str, value: &str| {
        admin.send("PUT", path, &[(name, value)], "\"TRUE\"").await.status.as_u16()
    };
    assert_eq!(put(&mut admin, "if-match", "\"0123456789abcdef\"").await, 412);
    assert_eq!(put(&mut admin, "if-none-match", "*").await, 412);
    assert_eq!(put(&mut admin, "if-match", &format!("\"0\", {tag}")).await, 204);
    assert_eq!(put(&mut admin, "if-match", &tag).await, 412, "the tag is that of the old value");
    assert_eq!(put(&mut admin, "if-match", "*").await, 204);
    let new = admin.get(path).await.etag().to_owned();
    let unchanged = admin.send("GET", path, &[("if-none-match", &new)], "").await;
    assert_eq!((unchanged.status.as_u16(), unchanged.body.as_str(), unchanged.etag()), (304, "", &*new));
    let absent = "metadata/instance/attributes/absent";
    assert_eq!(admin.send("PUT", absent, &[("if-match", "*")], "1").await.status, 412);
    assert_eq!(admin.send("PUT", absent, &[("if-none-match", "*")], "1").await.status, 201);
}

/// Guests don't see OS Login, nor guest attributes in the recursion over a directory above them.
#[tokio::test]
async fn a_change_of_values_that_guests_do_not_see_changes_the_entity_tag() {
    let (_server, mut admin) = start().await;
    let document = |users: Value| {
        let v1 = json!({"instance": {"id": 7, "name": "vm", "attributes": {"enable-oslogin": "TRUE"}}});
        json!({"computeMetadata": {"v1": v1}, "osLogin": {"loginProfiles": users}})
    };
    admin.expect(204, "PUT", "metadata", document(json!([]))).await;
    let root = admin.get("metadata").await.etag().to_owned();
    let ada = json!({"name": "ada@example.com", "posixAccounts": [{"username": "ada", "uid": "2001"}]});
    admin.expect(204, "PUT", "metadata", document(json!([ada]))).await;
    let changed = admin.send("GET", "metadata", &[("if-none-match", &root)], "").await;
    assert!(changed.status == 200 && changed.body.contains("ada@example.com"), "{}", changed.body);

    let before = [admin.get("metadata").await, admin.get("metadata/instance").await];
    admin.expect(201, "PUT", "metadata/instance/guest-attributes/a/b", "guest").await;
    for (path, before) in ["metadata", "metadata/instance"].into_iter().zip(before) {
        let condition = [("if-match", before.etag())];
        let patch = admin.send("PATCH", path, &condition, r#"{"instance": {"id": 8}}"#).await;
        problem(&patch, 412);
        assert_ne!(admin.get(path).await.etag(), before.etag(), "{path}");
    }
}

/// Of many clients that read a value and write it back changed, each succeeds once for each of its turns.
#[tokio::test]
async fn concurrent_edits_with_conditions_lose_no_update() {
    let (server, mut admin) = start().await;
    admin.expect(201, "PUT", "metadata/instance/attributes/count", "0").await;
    let increment = async || {
        let mut admin = Admin::of(&server).await;
        loop {
            let shown = admin.get("metadata/instance/attributes/count").await;
            let next = shown.json().as_str().unwrap().parse::<u32>().unwrap() + 1;
            let headers = [("if-match", shown.etag())];
            let put = admin.send("PUT", "metadata/instance/attributes/count", &headers, &format!("\"{next}\"")).await;
            if put.status == 204 {
                return;
            }
            assert_eq!(put.status, 412);
        }
    };
    tokio::join!(increment(), increment(), increment(), increment());
    assert_eq!(get(&server, "instance/attributes/count").await.body, "4");
}

#[tokio::test]
async fn errors_have_the_status_and_the_place() {
    let (server, mut admin) = start().await;
    let before = get(&server, "?recursive=true").await.body;
    for (status, method, path, body, detail) in [
        (400, "PUT", "metadata/instance/id", "{", "the body is not JSON: EOF while parsing"),
        (409, "PUT", "metadata/instance/id/below", "1", "can't be below a value"),
        (409, "PUT", "metadata/instance/disks/7", "{}", "is not an index of the list"),
        (409, "PUT", "metadata/instance/machineType", "1", "is spelled `machine-type`"),
        (409, "PUT", "metadata/instance/service-accounts/default/token", "1", "computed for each request"),
        (422, "PUT", "metadata/instance/service-accounts", "5", "instance/service-accounts"),
        (422, "PUT", "metadata", r#"{"computeMetadata": {"v1": {"instance": 5}}}"#, "computeMetadata.v1.instance"),
        (422, "PATCH", "metadata", "5", "an object"),
        (405, "DELETE", "metadata", "", "GET, PUT, PATCH"),
        (405, "POST", "metadata/instance/id", "", "GET, PUT, PATCH, DELETE"),
        (404, "GET", "nothing", "", "/__admin/openapi.json"),
    ] {
        let answer = admin.send(method, path, &[], body).await;
        let found = problem(&answer, status);
        assert!(found.contains(detail), "{method} {path}: {found}");
    }
    let not_json = admin.send("PUT", "metadata/instance/id", &[], "[1,\n2").await.json();
    assert_eq!((&not_json["line"], &not_json["column"]), (&2.into(), &1.into()));
    let misplaced = admin.send("PUT", "metadata", &[], r#"{"computeMetadata": {"v1": {"instance": 5}}}"#).await.json();
    assert_eq!(misplaced["errors"][0]["source"]["pointer"], "/computeMetadata/v1/instance");
    let patch = [("content-type", "application/json-patch+json")];
    let answer = admin.send("PATCH", "metadata", &patch, "[]").await;
    problem(&answer, 415);
    assert_eq!(answer.header("accept-patch"), Some("application/merge-patch+json, application/json"));
    assert_eq!(get(&server, "?recursive=true").await.body, before, "nothing has changed");
}

/// The answer comes before the body is sent.
#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (server, _) = start().await;
    let address = server.admin_address().unwrap().socket_addr().unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = (4 << 20) + 1;
    let head = format!(
        "PUT /__admin/metadata/instance/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn edits_survive_a_change_of_the_file_and_end_with_a_reset() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vm.json");
    let write = |id: u32, name: &str| {
        let v1 = json!({"instance": {"id": id, "name": name, "attributes": {"enable-guest-attributes": "TRUE"}}});
        std::fs::write(&file, json!({"computeMetadata": {"v1": v1}}).to_string()).unwrap();
    };
    write(1, "a");
    let server = builder().metadata_file(&file).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    admin.expect(204, "PUT", "metadata/instance/name", "edited").await;
    admin.expect(201, "PUT", "metadata/instance/guest-attributes/a/b", "guest").await;
    write(2, "a");
    eventually("the file is reloaded", async || get(&server, "instance/id").await.body == "2").await;
    assert_eq!(get(&server, "instance/name").await.body, "edited");
    admin.expect(204, "POST", "metadata/reset", Value::Null).await;
    assert_eq!(get(&server, "instance/name").await.body, "a");
    assert_eq!(get(&server, "instance/guest-attributes/a/b").await.body, "guest", "guest attributes are kept");
    admin.expect(204, "POST", "metadata/reset?guest-attributes=true", Value::Null).await;
    assert_eq!(get(&server, "instance/guest-attributes/a/b").await.status, 404);
    problem(&admin.send("POST", "metadata/reset?guest-attributes=maybe", &[], "").await, 400);
    std::fs::write(&file, "{").unwrap();
    assert!(problem(&admin.send("POST", "metadata/reset", &[], "").await, 422).contains("vm.json"));
}

#[tokio::test]
async fn a_reset_without_a_file_restores_the_metadata_of_the_start() {
    let (server, mut admin) = start().await;
    let before = get(&server, "?recursive=true").await.body;
    admin.expect(204, "PUT", "metadata", json!({"computeMetadata": {"v1": {}}})).await;
    admin.expect(204, "POST", "metadata/reset", Value::Null).await;
    assert_eq!(get(&server, "?recursive=true").await.body, before);
}
