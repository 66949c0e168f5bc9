//! Faults of a server in the same process.

use super::{TOKEN, start, status};
use crate::support::get;
use gce_metadata_server::{Fault, Matching};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

#[tokio::test]
async fn a_fault_is_removed_with_its_guard() {
    let server = start().await;
    let tokens = Fault::on("instance/service-accounts/*/token").instructions(["return-503", "return-429"]).expect(2);
    let guard = server.faults().add(tokens).unwrap();
    assert_eq!(
        [status(&server, TOKEN).await, status(&server, TOKEN).await, status(&server, TOKEN).await],
        [503, 429, 200]
    );
    let done = guard.status().unwrap();
    assert_eq!((done.matched, done.injected, done.is_completed), (3, 2, true));
    drop(guard);
    assert!(server.faults().list().is_empty());
    let kept = server.faults().add(Fault::on("instance/id").status(500).name("kept")).unwrap().keep();
    let listed = server.faults().list();
    assert_eq!((listed[0].id.as_str(), listed[0].name.as_deref()), (kept.as_str(), Some("kept")));
    assert_eq!(get(&server, "instance/id").await.status, 500);
    server.faults().clear();
    assert_eq!(get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn an_expectation_is_checked_when_the_guard_is_dropped() {
    let server = start().await;
    let add = |times: usize| {
        let fault = Fault::on("instance/id").status(503).succeed_first(1).name("busy").expect(times);
        server.faults().add(fault).unwrap()
    };
    let message = |f: &mut dyn FnMut()| {
        catch_unwind(AssertUnwindSafe(f)).err().map(|panic| match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => (*panic.downcast_ref::<&str>().unwrap()).to_owned(),
        })
    };
    let guard = add(2);
    get(&server, "instance/id").await;
    get(&server, "instance/id").await;
    let expected = "expected the fault `busy` to be injected into 2 requests, was injected into 1 of 2 that match";
    let mut guard = Some(guard);
    assert_eq!(message(&mut || drop(guard.take())).as_deref(), Some(expected));
    assert!(server.faults().list().is_empty(), "it was removed all the same");
    let first = message(&mut || {
        let _guard = add(1);
        panic!("the first panic");
    });
    assert_eq!(first.as_deref(), Some("the first panic"), "a guard does not panic while its thread panics");
    assert_eq!(message(&mut || drop(add(0))), None);
}

#[tokio::test]
async fn verify_checks_the_expectations_of_faults_and_of_requests() {
    let server = start().await;
    let guard = server.faults().add(Fault::on("instance/id").status(503).expect(1..)).unwrap();
    server.requests().matching(Matching::path("instance/id")).expect(1);
    let error = server.verify().unwrap_err().to_string();
    assert!(error.starts_with("expected 1 request for"), "{error}");
    let expected = "expected the fault on {\"path\":\"instance/id\"} to be injected into at least 1 request, was injected into 0 of 0";
    assert!(error.lines().any(|line| line.starts_with(expected)), "{error}");
    get(&server, "instance/id").await;
    server.verify().unwrap();
    drop(guard);
    server.verify().unwrap();
}

#[tokio::test]
async fn builder_methods_set_the_members_of_the_document() {
    let server = crate::admin::builder().start().await.unwrap();
    let mut admin = crate::admin::Admin::of(&server).await;
    let seconds = Duration::from_secs;
    let matching = Matching::path("instance/id").method("GET").header("a", "b").query_param("c", "d");
    let answer = Fault::matching(matching.client_ip("10.0.0.7"))
        .account("default")
        .name("all")
        .priority(2)
        .status(503)
        .header("Retry-After", "1")
        .header("e", "f")
        .header("e", "g")
        .without_header("Server")
        .json_body(json!({"h": 1}))
        .delay(Duration::from_micros(1500))
        .uniform_delay(seconds(1), seconds(2))
        .dribble(5, seconds(3))
        .truncate_body_at(0.5)
        .malformed_body()
        .succeed_first(1)
        .up_to_n_times(6)
        .fail_every(3)
        .probability(0.5)
        .seed(7)
        .outage_after(seconds(4))
        .outage_duration(seconds(5))
        .quota(50, seconds(6))
        .time_to_live(seconds(7));
    let guard = server.faults().add(answer).unwrap();
    let expected = json!({
        "id": guard.id(), "uuid": guard.id(), "name": "all", "priority": 2,
        "metadata": {"metadataServer": {"matched": 0, "injected": 0, "completed": false}},
        "request": {
            "path": "instance/id", "method": "GET", "headers": {"a": {"equalTo": "b"}},
            "queryParameters": {"c": {"equalTo": "d"}}, "clientIp": {"equalTo": "10.0.0.7"},
            "account": {"equalTo": "default"},
        },
        "response": {
            "status": 503, "headers": {"Retry-After": ["1"], "e": ["f", "g"], "Server": null}, "jsonBody": {"h": 1},
            "fixedDelayMilliseconds": 2, "delayDistribution": {"type": "uniform", "lower": 1000.0, "upper": 2000.0},
            "chunkedDribbleDelay": {"numberOfChunks": 5, "totalDuration": 3000}, "truncateBodyAtFraction": 0.5,
            "malformedBody": true,
        },
        "succeedFirst": 1, "failRequestCount": 6, "failEvery": 3, "probability": 0.5, "seed": 7,
        "outageAfterMillis": 4000, "outageDurationMillis": 5000, "quotaLimit": 50, "quotaWindowMillis": 6000,
        "timeToLive": 7000,
    });
    let shown = admin.get(&format!("mappings/{}", guard.id())).await.json();
    assert_eq!(shown, expected);
    admin.expect(201, "POST", "mappings", shown).await;
    for (fault, member, value) in [
        (Fault::on("a").reset_connection(), "/response/fault", json!("CONNECTION_RESET_BY_PEER")),
        (Fault::on("a").empty_response(), "/response/fault", json!("EMPTY_RESPONSE")),
        (
            Fault::on("a").usual_answer().lognormal_delay(seconds(1), 0.5),
            "/response/delayDistribution/median",
            json!(1000.0),
        ),
        (Fault::on("a").body("b"), "/response/body", json!("b")),
        (Fault::on("a").at_source().status(503), "/at", json!("source")),
    ] {
        let guard = server.faults().add(fault).unwrap();
        assert_eq!(admin.get(&format!("mappings/{}", guard.id())).await.json().pointer(member), Some(&value));
    }
}

#[tokio::test]
async fn mistakes_are_errors_with_the_pointer_of_the_member() {
    let server = start().await;
    let error = |fault| server.faults().add(fault).unwrap_err().to_string();
    assert!(error(Fault::on("a").status(99)).starts_with("/response/status: a status from 200"));
    assert!(error(Fault::on("a").instructions(["x"])).starts_with("/instructions/0: expected return-STATUS"));
    assert!(error(Fault::on("a")).starts_with("/response: `response` or `instructions` is missing"));
    assert!(server.faults().list().is_empty());
    assert_eq!(Fault::json(&json!([])).unwrap_err().to_string(), "an object is expected");
}
