//! The journal of a server in the same process.

use crate::support::{get, serve};
use gce_metadata_server::{Matching, Server};
use serde_json::json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);

async fn start() -> Server {
    Server::builder().simulate().start().await.unwrap()
}

#[tokio::test]
async fn requests_are_counted_and_waited_for_without_a_listener() {
    let server = start().await;
    assert!(server.admin_address().is_none());
    let ids = server.requests().matching(Matching::path("instance/id"));
    let (received, _) = tokio::join!(ids.wait_for(1.., SOON), get(&server, "instance/id?alt=json"));
    let received = received.unwrap();
    assert_eq!((received.len(), ids.count(), server.requests().received().len()), (1, 1, 1));
    let request = &received[0];
    assert_eq!(request.path().as_deref(), Some("instance/id"));
    assert_eq!(request.query_param("alt").as_deref(), Some("json"));
    assert_eq!(request.header("Metadata-Flavor").as_deref(), Some("Google"));
    assert_eq!(request.client_ip().as_deref(), Some("127.0.0.1"));
    assert_eq!((request.method().as_str(), request.status().unwrap().as_u16()), ("GET", 200));
    assert!(request.is_matched() && request.waited().is_none() && request.peer().is_none());
    server.requests().clear();
    assert_eq!(ids.count(), 0);
}

#[tokio::test]
async fn an_unmet_expectation_prints_what_was_asked_instead() {
    let server = start().await;
    get(&server, "instance/preemptd").await;
    let preempted = server.requests().matching(Matching::path("instance/preempted"));
    let error = preempted.wait_for(1.., Duration::ZERO).await.unwrap_err().to_string();
    let expected = "expected at least 1 request for {\"path\":\"instance/preempted\"}, received 0 requests; the nearest other requests \
                    are:\n  GET /computeMetadata/v1/instance/preemptd";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn expectations_are_verified_together() {
    let server = start().await;
    server.verify().unwrap();
    server.requests().matching(Matching::path("instance/id")).expect(1);
    server.requests().matching(Matching::path("instance/zone")).expect(..=1);
    let error = server.verify().unwrap_err();
    assert!(format!("{error:?}").starts_with("expected 1 request for {\"path\":\"instance/id\"}"), "{error:?}");
    get(&server, "instance/id").await;
    server.verify().unwrap();
}

#[tokio::test]
async fn a_guard_panics_if_its_expectation_does_not_hold() {
    let server = start().await;
    let expect = || server.requests().matching(Matching::json(&json!({"method": "GET"})).unwrap()).expect_scoped(1);
    let panicked = |f: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).err();
        panic.map(|it| {
            it.downcast_ref::<String>().cloned().or(it.downcast_ref::<&str>().map(|it| (*it).to_owned())).unwrap()
        })
    };
    let message = panicked(&|| drop(expect())).unwrap();
    assert!(message.starts_with("expected 1 request for {\"method\":\"GET\"}, received 0 requests"), "{message}");
    let first = panicked(&|| {
        let _guard = expect();
        panic!("the first panic");
    });
    assert_eq!(first.as_deref(), Some("the first panic"), "a guard does not panic while its thread panics");
    get(&server, "instance/id").await;
    assert_eq!(panicked(&|| drop(expect())), None);
}

#[test]
fn a_plain_test_waits_without_a_runtime() {
    let server = Server::builder().simulate().start_blocking().unwrap();
    let none = server.requests().matching(Matching::any()).wait_for_blocking(..=0, Duration::from_millis(1)).unwrap();
    assert!(none.is_empty());
}

#[tokio::test]
#[should_panic(expected = "ServerBuilder::simulate")]
async fn a_server_without_a_journal_panics_instead_of_having_no_requests() {
    serve(json!({"instance": {"id": 1}})).await.requests();
}
