//! `POST /__admin/requests/verify`.

use super::start;
use crate::admin::{Admin, problem};
use crate::support::get;
use serde_json::json;
use std::time::{Duration, Instant};

const PATH: &str = "/computeMetadata/v1/instance/id";

#[tokio::test]
async fn an_expectation_holds_when_the_requests_have_been_received() {
    let (server, mut admin) = start().await;
    get(&server, "instance/id").await;
    let id = json!({"urlPath": PATH});
    for (body, count) in [
        (json!({"request": id}), 1),
        (json!({"request": id, "times": {"atLeast": 1, "atMost": 1}}), 1),
        (json!({"request": id, "times": {"atMost": 1}}), 1),
        (json!({"request": {"urlPath": "/other"}, "times": {"atMost": 0}}), 0),
        (json!({}), 1),
    ] {
        assert_eq!(admin.expect(202, "POST", "requests/verify", body).await.json(), json!({"count": count}));
    }
}

#[tokio::test]
async fn an_expectation_waits_for_later_requests() {
    let (server, mut admin) = start().await;
    let body = json!({"request": {"urlPath": PATH}, "times": {"atLeast": 2}, "timeout": 60_000});
    let verifying = admin.expect(202, "POST", "requests/verify", body);
    let asking = async {
        get(&server, "instance/id").await;
        get(&server, "instance/id").await;
    };
    let (answer, ()) = tokio::join!(verifying, asking);
    assert_eq!(answer.json()["count"], 2);
}

#[tokio::test]
async fn an_unmet_expectation_is_406_with_count_and_near_misses() {
    let (server, mut admin) = start().await;
    get(&server, "instance/id").await;
    let body = json!({"request": {"urlPath": "/computeMetadata/v1/instance/preempted"}, "timeout": 1});
    let answer = admin.expect(406, "POST", "requests/verify", body.clone()).await;
    let expected =
        r#"expected at least 1 request for {"urlPath":"/computeMetadata/v1/instance/preempted"}, received 0 requests"#;
    assert_eq!(problem(&answer, 406), expected);
    let answer = answer.json();
    assert_eq!((&answer["count"], &answer["expectation"]["request"]), (&0.into(), &body["request"]));
    assert_eq!(answer["expectation"]["times"], json!({"atLeast": 1}));
    assert_eq!(answer["nearMisses"][0]["request"]["url"], PATH);
}

#[tokio::test]
async fn a_maximum_waits_for_the_whole_time_and_fails_early() {
    let (server, mut admin) = start().await;
    let body = |timeout: u64| json!({"request": {"urlPath": PATH}, "times": {"atMost": 0}, "timeout": timeout});
    let start = Instant::now();
    admin.expect(202, "POST", "requests/verify", body(20)).await;
    assert!(start.elapsed() >= Duration::from_millis(20));
    let mut other = Admin::of(&server).await;
    let (answer, _) =
        tokio::join!(other.expect(406, "POST", "requests/verify", body(60_000)), get(&server, "instance/id"));
    assert_eq!(answer.json()["count"], 1);
    assert!(start.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn impossible_expectations_are_refused() {
    let (_server, mut admin) = start().await;
    for (body, pointer) in [
        (json!({"timeout": 60_001}), "/timeout"),
        (json!({"times": {"atLeast": 2, "atMost": 1}}), "/times/atMost"),
        (json!({"times": {"exactly": 2}}), "/times/exactly"),
        (json!({"time": 2}), "/time"),
    ] {
        let answer = admin.expect(422, "POST", "requests/verify", body).await;
        assert_eq!(answer.json()["errors"][0]["source"]["pointer"], pointer, "{}", answer.body);
    }
}
