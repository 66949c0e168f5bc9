//! OS Login over sockets: the cases that need more than a conformance table, such as sessions and reloads.

use crate::support::{Client, ask_metrics, eventually, repository, request};
use gce_metadata_server::{ConfigDocument, Server};
use serde_json::{Value, json};

const START: &str = "/computeMetadata/v1/oslogin/authenticate/sessions/start";

fn config() -> Value {
    serde_json::from_str(&std::fs::read_to_string(repository("tests/clients/guest/vm.json")).unwrap()).unwrap()
}

async fn post(client: &mut Client, path: &str, body: &str) -> (u16, Value) {
    let answer = client.send(request("POST", path, &[("metadata-flavor", "Google")]), body).await;
    (answer.status.as_u16(), serde_json::from_str(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn a_two_factor_session_ends_authenticated() {
    let metadata = ConfigDocument::from_json(config()).unwrap().metadata;
    let server = Server::builder().metadata(metadata).metrics("127.0.0.1:0", "/metrics").start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (status, started) = post(&mut client, START, r#"{"email": "bob@example.com"}"#).await;
        assert_eq!((status, &started["status"]), (200, &json!("CHALLENGE_REQUIRED")));
        let session = started["sessionId"].as_str().unwrap().to_owned();
        let path = format!("/computeMetadata/v1/oslogin/authenticate/sessions/{session}/continue");
        let answer = json!({"email": "bob@example.com", "challengeId": 1, "action": "RESPOND",
            "proposalResponse": {"credential": "123456"}});
        let (status, ended) = post(&mut client, &path, &answer.to_string()).await;
        assert_eq!((status, ended), (200, json!({"sessionId": session, "status": "AUTHENTICATED"})));
        seen.push(session);
    }
    let (_, metrics) = ask_metrics(&server, "/metrics").await;
    assert!(metrics.contains("oslogin/authenticate/sessions/"), "{metrics}");
    assert!(seen.iter().all(|session| !metrics.contains(session)), "session ids must not be metric labels");
}

#[tokio::test]
async fn an_oversized_session_request_is_413() {
    let server =
        Server::builder().metadata(ConfigDocument::from_json(config()).unwrap().metadata).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let (status, _) = post(&mut client, START, &format!("{{\"email\": \"{}\"}}", "a".repeat(16 * 1024))).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn a_reload_changes_os_login_policies() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, config().to_string()).unwrap();
    let server = Server::builder().metadata_file(&file).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let bob = "oslogin/authorize?email=bob@example.com&policy=adminLogin";
    assert_eq!(client.get(bob).await.body, r#"{"success":false}"#);

    let mut changed = config();
    changed["osLogin"]["policies"]["bob@example.com"] = json!(["login", "adminLogin"]);
    std::fs::write(&file, changed.to_string()).unwrap();
    eventually("Bob has adminLogin", async || client.get(bob).await.body == r#"{"success":true}"#).await;

    // Edits of the metadata do not change OS Login.
    server.publisher().set("instance/preempted", "TRUE").unwrap();
    server.publisher().remove("instance/preempted").unwrap();
    server.publisher().merge("", json!({"instance": {"preempted": "TRUE"}})).unwrap();
    assert_eq!(client.get(bob).await.body, r#"{"success":true}"#);
}

#[tokio::test]
async fn listings_and_recursion_show_no_os_login_data() {
    let server =
        Server::builder().metadata(ConfigDocument::from_json(config()).unwrap().metadata).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    for path in ["?recursive=true", "?recursive=true&alt=text", "oslogin/?recursive=true", "oslogin/", ""] {
        let body = client.get(path).await.body;
        for hidden in ["JBSWY3DP", "123456\"", "ada_example_com", "builders", "adminLogin"] {
            assert!(!body.contains(hidden), "{path} shows {hidden}");
        }
    }
}
