//! Guest attributes: which waiters a write wakes, persistence over reloads and restarts, and the size limits.

use crate::support::{Answer, Client, V1, ask_metrics, eventually, get, request, serve};
use gce_metadata_server::{Address, GuestAttributesError, Metadata, Server, ServerBuilder, StartError};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const KEY: &str = "instance/guest-attributes/ns/key";

fn vm(guest_attributes: Value) -> Value {
    json!({"instance": {
        "attributes": {"enable-guest-attributes": "TRUE"}, "guestAttributes": guest_attributes, "name": "vm-1",
    }})
}

async fn write(client: &mut Client, method: &str, path: &str, value: &str) -> Answer {
    client.send(request(method, &format!("{V1}/{path}"), &[("metadata-flavor", "Google")]), value).await
}

async fn put(client: &mut Client, path: &str, value: &str) {
    assert_eq!(write(client, "PUT", path, value).await.status, 200, "{path}");
}

/// Starts a long poll for the next change of this path.
async fn next(server: &Server, path: &str) -> JoinHandle<Answer> {
    let mut client = Client::connect(server).await;
    let separator = if path.contains('?') { '&' } else { '?' };
    let tag = client.get(path).await.etag().to_owned();
    let path = format!("{path}{separator}wait_for_change=true&last_etag={tag}");
    tokio::spawn(async move { client.get(&path).await })
}

#[tokio::test]
async fn a_write_wakes_waiters_on_guest_attributes_but_none_on_its_ancestors() {
    let server = serve(vm(json!({"ns": {"key": "old"}}))).await;
    let (key, below) = (next(&server, KEY).await, next(&server, "instance/guest-attributes/?recursive=true").await);
    let (root, above) =
        (next(&server, "?recursive=true").await, next(&server, "instance/?recursive=true&alt=text").await);
    put(&mut Client::connect(&server).await, KEY, "new").await;
    assert_eq!(key.await.unwrap().body, "new");
    assert_eq!(below.await.unwrap().body, r#"{"ns":{"key":"new"}}"#);
    server.publisher().set("instance/name", "vm-2").unwrap();
    // A waiter woken by the write would have answered "vm-1".
    assert!(root.await.unwrap().body.contains("\"name\":\"vm-2\""));
    assert!(above.await.unwrap().body.contains("name vm-2\n"));
}

#[tokio::test]
async fn a_write_does_not_change_the_roots_entity_tag() {
    for config in [vm(json!({})), json!({"project": {"attributes": {"enable-guest-attributes": "true"}}})] {
        let server = serve(config).await;
        let mut client = Client::connect(&server).await;
        let before = client.get("?recursive=true").await.etag().to_owned();
        put(&mut client, KEY, "value").await;
        assert_eq!(client.get("?recursive=true").await.etag(), before);
        assert_eq!(client.get(KEY).await.body, "value");
    }
}

#[tokio::test]
async fn a_waiter_on_a_deleted_key_gets_404() {
    let server = serve(vm(json!({"ns": {"key": "old"}}))).await;
    let waiting = next(&server, KEY).await;
    assert_eq!(write(&mut Client::connect(&server).await, "DELETE", KEY, "").await.status, 200);
    assert_eq!(waiting.await.unwrap().status, 404);
}

#[tokio::test]
async fn enable_guest_attributes_is_checked_on_each_request() {
    let server = serve(json!({"instance": {"attributes": {}}})).await;
    let mut client = Client::connect(&server).await;
    let status = async |client: &mut Client| client.get("instance/guest-attributes/").await.status.as_u16();
    assert_eq!(status(&mut client).await, 403);
    server.publisher().set("project/attributes/enable-guest-attributes", "TRUE").unwrap();
    assert_eq!(status(&mut client).await, 200);
    // The instance's attribute overrides the project's.
    server.publisher().set("instance/attributes/enable-guest-attributes", "FALSE").unwrap();
    assert_eq!(status(&mut client).await, 403);
}

#[tokio::test]
async fn oversized_values_are_413_and_invalid_utf8_is_400() {
    const MOST: usize = 256 * 1024;
    let server = serve(vm(json!({}))).await;
    let mut client = Client::connect(&server).await;
    put(&mut client, KEY, &"x".repeat(MOST)).await;
    let too_large = write(&mut client, "PUT", KEY, &"x".repeat(MOST + 1)).await;
    assert_eq!(too_large.status, 413);
    assert!(too_large.body.contains("Error 413 (Request Entity Too Large)!!1"), "{}", too_large.body);
    assert_eq!(get(&server, KEY).await.body.len(), MOST);

    // The total limit is 512 KiB including names: two values of 256 KiB exceed it by their names.
    let mut client = Client::connect(&server).await;
    assert_eq!(write(&mut client, "PUT", "instance/guest-attributes/ns/more", &"x".repeat(MOST)).await.status, 413);
    put(&mut client, "instance/guest-attributes/ns/more", &"x".repeat(MOST - "nskeymore".len())).await;
    assert_eq!(write(&mut client, "PUT", "instance/guest-attributes/ns/m", "").await.status, 413);
    put(&mut client, KEY, "small").await;

    // Invalid UTF-8, and chunked bodies of unknown length.
    let Address::Tcp(address) = server.address() else { panic!() };
    let head = format!("PUT {V1}/{KEY} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\nConnection: close\r\n");
    for (rest, status) in [
        (&b"Content-Length: 2\r\n\r\n\xff\xfe"[..], "400 Bad Request"),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "200 OK"),
        (b"Transfer-Encoding: chunked\r\n\r\nnone\r\n", "400 Bad Request"),
        // Refused by its Content-Length, before the body is read.
        (b"Content-Length: 999999999\r\n\r\n", "413 Payload Too Large"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(rest).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }
    assert_eq!(get(&server, KEY).await.body, "abcde");
}

/// Sends the head of a write and `sent` bytes of its body, and leaves the request unfinished.
async fn half_a_write(server: &Server, sent: usize, announced: usize) -> TcpStream {
    let Address::Tcp(address) = server.address() else { panic!() };
    let head = format!("PUT {V1}/{KEY} HTTP/1.1\r\nHost: metadata\r\nMetadata-Flavor: Google\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{head}Content-Length: {announced}\r\n\r\n{}", "x".repeat(sent));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn unfinished_bodies_share_a_memory_budget_and_the_next_write_is_503() {
    const KIB: usize = 1024;
    let metadata = Metadata::from_json(vm(json!({}))).unwrap();
    let server = Server::builder().metadata(metadata).max_body_bytes_in_flight(64 * KIB).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    // The budget counts bytes received, not the announced Content-Length.
    let silent = half_a_write(&server, 0, 200 * KIB).await;
    put(&mut client, KEY, &"x".repeat(60 * KIB)).await;
    let unfinished = half_a_write(&server, 40 * KIB, 41 * KIB).await;
    let status = async || {
        let mut client = Client::connect(&server).await;
        write(&mut client, "PUT", KEY, &"x".repeat(40 * KIB)).await.status.as_u16()
    };
    eventually("the budget is used up", async || status().await == 503).await;
    // Requests without a body do not need the budget.
    assert_eq!(client.get("instance/name").await.body, "vm-1");
    drop((silent, unfinished));
    eventually("the budget is free again", async || status().await == 200).await;
}

fn save(path: &Path, config: &Value) {
    let new = path.with_extension("new");
    std::fs::write(&new, config.to_string()).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_config_reload_keeps_guest_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    save(&file, &vm(json!({"config": {"a": "1", "b": "1", "c": "1"}})));
    let server = Server::builder().metadata_file(&file).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    put(&mut client, KEY, "written").await;
    put(&mut client, "instance/guest-attributes/config/a", "written").await;
    assert_eq!(write(&mut client, "DELETE", "instance/guest-attributes/config/b", "").await.status, 200);
    let root = client.get("?recursive=true").await.etag().to_owned();
    save(&file, &vm(json!({"config": {"a": "2", "b": "2", "c": "2", "d": "2"}})));
    let loaded = json!({"config": {"a": "written", "c": "2", "d": "2"}, "ns": {"key": "written"}});
    let mut all = async || client.get("instance/guest-attributes/?recursive=true").await.json();
    eventually("the config is loaded", async || all().await == loaded).await;
    assert_eq!(client.get("?recursive=true").await.etag(), root);
}

fn server_with_file(file: &Path) -> ServerBuilder {
    Server::builder()
        .metadata(Metadata::from_json(vm(json!({"config": {"a": "1"}}))).unwrap())
        .guest_attributes_file(file)
}

#[tokio::test]
async fn guest_attributes_file_is_loaded_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attributes.json");
    let builder = server_with_file(&file).metrics((Ipv4Addr::LOCALHOST, 0), "/metrics");
    let server = builder.start().await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(write(&mut client, "DELETE", "instance/guest-attributes/config/a", "").await.status, 200);
    put(&mut client, KEY, "one").await;
    let content = async || std::fs::read_to_string(&file).unwrap();
    eventually("the write is saved in the background", async || content().await == r#"{"ns":{"key":"one"}}"#).await;
    let (_, metrics) = ask_metrics(&server, "/metrics").await;
    assert!(metrics.contains("\nmetadata_guest_attributes_saves_total{outcome=\"good\"} "), "{metrics}");
    put(&mut client, KEY, "two").await;
    drop(client);
    assert!(server.shutdown().await);
    assert_eq!(content().await, r#"{"ns":{"key":"two"}}"#, "a stopping server saves the last write");

    let server = server_with_file(&file).start().await.unwrap();
    let all = get(&server, "instance/guest-attributes/?recursive=true").await.json();
    assert_eq!(all, json!({"ns": {"key": "two"}}), "the file replaces the config's guestAttributes");
}

/// A server that is killed while it writes leaves such a file.
#[tokio::test]
async fn a_start_removes_the_temporary_file_of_a_killed_server() {
    let folder = tempfile::tempdir().unwrap();
    let temporary = folder.path().join(format!(".gce-metadata-server-{}.new", "0123456789abcdef".repeat(2)));
    std::fs::write(&temporary, "{\"ns\": {\"key\": \"va").unwrap();
    let _server = server_with_file(&folder.path().join("attributes.json")).start().await.unwrap();
    assert!(!temporary.exists());
}

#[tokio::test]
async fn with_sync_a_write_is_on_disk_when_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attributes.json");
    let server = server_with_file(&file).guest_attributes_sync().start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let saved = || serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap();
    for number in 0..20 {
        put(&mut client, KEY, &number.to_string()).await;
        assert_eq!(saved(), json!({"config": {"a": "1"}, "ns": {"key": number.to_string()}}));
    }
    assert_eq!(write(&mut client, "DELETE", KEY, "").await.status, 200);
    assert_eq!(saved(), json!({"config": {"a": "1"}}));
    assert_eq!(write(&mut client, "DELETE", KEY, "").await.status, 404);
}

#[tokio::test]
async fn with_sync_a_write_that_can_not_be_saved_is_503_and_the_server_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let file = away.join("attributes.json");
    let builder = server_with_file(&file).metrics((Ipv4Addr::LOCALHOST, 0), "/metrics");
    let server = builder.guest_attributes_sync().start().await.unwrap();
    assert_eq!(ask_metrics(&server, "/readyz").await, (200, "ok\n".into()));
    std::fs::remove_dir_all(&away).unwrap();
    let mut client = Client::connect(&server).await;
    let answer = write(&mut client, "PUT", KEY, "hidden").await;
    assert_eq!(answer.status, 503);
    assert!(answer.body.starts_with("The change is served, but could not be saved"), "{}", answer.body);
    assert_eq!(client.get(KEY).await.body, "hidden", "the change is served although it was not saved");
    let (status, reason) = ask_metrics(&server, "/readyz").await;
    assert_eq!(status, 503);
    let wanted =
        format!("guest attributes can't be saved: {}: No such file or directory (os error 2)\n", file.display());
    assert_eq!(reason, wanted);
    std::fs::create_dir(&away).unwrap();
    put(&mut client, KEY, "hidden").await;
    assert_eq!(ask_metrics(&server, "/readyz").await, (200, "ok\n".into()));
}

#[tokio::test]
async fn a_save_that_fails_in_the_background_makes_the_server_unready_until_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let away = folder.path().join("away");
    std::fs::create_dir(&away).unwrap();
    let builder = server_with_file(&away.join("attributes.json")).metrics((Ipv4Addr::LOCALHOST, 0), "/metrics");
    let server = builder.start().await.unwrap();
    std::fs::remove_dir_all(&away).unwrap();
    let mut client = Client::connect(&server).await;
    put(&mut client, KEY, "one").await;
    eventually("not ready", async || ask_metrics(&server, "/readyz").await.0 == 503).await;
    std::fs::create_dir(&away).unwrap();
    put(&mut client, KEY, "two").await;
    eventually("ready again", async || ask_metrics(&server, "/readyz").await.0 == 200).await;
}

#[tokio::test]
async fn a_second_server_with_the_same_file_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attributes.json");
    let first = server_with_file(&file).start().await.unwrap();
    put(&mut Client::connect(&first).await, KEY, "first").await;
    let error = server_with_file(&file).start().await.unwrap_err();
    assert!(matches!(error, StartError::GuestAttributes(GuestAttributesError::InUse { .. })), "{error}");
    let wanted = "another server keeps guest attributes in this file: stop it, or choose another file";
    assert_eq!(error.to_string(), format!("guest attributes: {}: {wanted}", file.display()));
    assert_eq!(get(&first, KEY).await.body, "first");
    assert!(first.shutdown().await);
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["attributes.json"], "the lock file is removed");

    let second = server_with_file(&file).start().await.unwrap();
    assert_eq!(get(&second, KEY).await.body, "first");
    // A dropped server releases the lock when its tasks have ended.
    drop(second);
    eventually("a third server starts", async || server_with_file(&file).start().await.is_ok()).await;
}

#[tokio::test]
async fn a_broken_guest_attributes_file_fails_the_start_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attributes.json");
    std::fs::write(&file, "{\"ns\": {\"key\": \"va").unwrap();
    let error = server_with_file(&file).start().await.unwrap_err();
    assert!(matches!(error, StartError::GuestAttributes(_)), "{error}");
    assert!(
        error.to_string().starts_with("guest attributes: ") && error.to_string().contains(":1:18: at ns.key: EOF"),
        "{error}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"ns\": {\"key\": \"va");
}
