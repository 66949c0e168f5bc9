//! `fault add`, `fault list` and `fault remove`.

use super::{builder, error, ok, program, with_input};
use crate::support::get;
use gce_metadata_server::Server;
use serde_json::{Value, json};

fn json_of(server: &Server) -> Value {
    serde_json::from_str(&ok(program(server, &["fault", "list", "--format", "json"]))).unwrap()
}

/// The document of the fault that these options add, without its id and counters.
fn added(server: &Server, options: &[&str]) -> Value {
    let id = ok(program(server, &[&["fault", "add"], options].concat()));
    let faults = json_of(server);
    let mut fault = faults[0].clone();
    assert_eq!(fault["id"], id.trim(), "the newest is tried first");
    ["id", "uuid", "metadata"].into_iter().for_each(|name| _ = fault.as_object_mut().unwrap().remove(name));
    fault
}

#[tokio::test]
async fn an_added_fault_is_injected_listed_and_removed() {
    let server = builder().start().await.unwrap();
    let token = "instance/service-accounts/default/token";
    let options = ["--path", "instance/service-accounts/*/token", "--status", "503", "--times", "2", "--name", "down"];
    let id = ok(program(&server, &[&["fault", "add"][..], &options].concat()));
    assert_eq!((id.len(), id.matches('-').count()), (37, 4), "a UUID and the end of the line: {id}");
    for expected in [503, 503, 200] {
        assert_eq!(get(&server, token).await.status, expected);
    }
    let expected = format!(
        "{}  injected into 2 of 3, completed  down: {{\"status\":503}} on {{\"path\":\"instance/service-accounts/*/token\"}}\n",
        id.trim()
    );
    assert_eq!(ok(program(&server, &["fault", "list"])), expected);
    assert_eq!(ok(program(&server, &["fault", "remove", id.trim()])), "");
    assert_eq!(ok(program(&server, &["fault", "list"])), "");
    assert!(error(program(&server, &["fault", "remove", id.trim()]), 1).contains("there is no fault with this id"));
    for _ in 0..2 {
        ok(program(&server, &["fault", "add", "--latency", "1ms"]));
    }
    ok(program(&server, &["fault", "remove", "--all"]));
    assert_eq!(json_of(&server), json!([]));
}

#[tokio::test]
async fn options_are_members_of_the_fault() {
    let server = builder().start().await.unwrap();
    let itself = "http://metadata.google.internal";
    for (options, expected) in [
        (&["--latency", "2s"][..], json!({"response": {"proxyBaseUrl": itself, "fixedDelayMilliseconds": 2000}})),
        (&["--hang"], json!({"response": {"proxyBaseUrl": itself, "fixedDelayMilliseconds": 86_400_000}})),
        (
            &["--reset", "--latency", "1s"],
            json!({"response": {"fault": "CONNECTION_RESET_BY_PEER", "fixedDelayMilliseconds": 1000}}),
        ),
        (&["--empty"], json!({"response": {"fault": "EMPTY_RESPONSE"}})),
        (
            &["--status", "429", "--header", "Retry-After: 1", "--body", "later", "--latency", "5ms"],
            json!({"response": {
                "status": 429, "headers": {"Retry-After": "1"}, "body": "later", "fixedDelayMilliseconds": 5,
            }}),
        ),
        (
            &["--instructions", "return-503*2,stall-for-2s"],
            json!({"instructions": ["return-503", "return-503", "stall-for-2s"]}),
        ),
        (
            &["--status", "500", "--method", "PUT", "--account", "default", "--skip", "1", "--every", "2"],
            json!({
                "request": {"method": "PUT", "account": {"equalTo": "default"}},
                "response": {"status": 500}, "succeedFirst": 1, "failEvery": 2,
            }),
        ),
        (
            &["--status", "503", "--at-source", "--probability", "0.5", "--time-to-live", "1m"],
            json!({"at": "source", "response": {"status": 503}, "probability": 0.5, "timeToLive": 60_000}),
        ),
    ] {
        assert_eq!(added(&server, options), expected, "{options:?}");
    }
}

#[tokio::test]
async fn a_fault_in_json_comes_from_a_file_or_standard_input() {
    let server = builder().start().await.unwrap();
    let fault = r#"{"request": {"path": "instance/id"}, "response": {"status": 418}}"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fault.json");
    std::fs::write(&file, fault).unwrap();
    ok(program(&server, &["fault", "add", "--json", file.to_str().unwrap()]));
    assert_eq!(get(&server, "instance/id").await.status, 418);
    with_input(program(&server, &["fault", "add", "--json", "-"]), &fault.replace("418", "599"));
    assert_eq!(get(&server, "instance/id").await.status, 599);
    std::fs::write(&file, r#"{"response": {"status": 1}}"#).unwrap();
    let refused = error(program(&server, &["fault", "add", "--json", file.to_str().unwrap()]), 1);
    assert_eq!(refused, "a status from 200 to 599 is expected (at /response/status)");
}

#[tokio::test]
async fn options_that_exclude_each_other_are_usage_errors() {
    let server = builder().start().await.unwrap();
    for options in [
        &[][..],
        &["--path", "instance/id"],
        &["--status", "503", "--reset"],
        &["--reset", "--empty"],
        &["--hang", "--latency", "1s"],
        &["--instructions", "return-503", "--times", "2"],
        &["--instructions", "return-503*0"],
        &["--body", "a", "--latency", "1s"],
    ] {
        error(program(&server, &[&["fault", "add"], options].concat()), 2);
    }
    error(program(&server, &["fault", "remove"]), 2);
    error(program(&server, &["fault", "remove", "a", "--all"]), 2);
    assert_eq!(json_of(&server), json!([]));
}
