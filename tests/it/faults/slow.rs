//! Delays, requests that hang, and slow bodies, on a paused clock.

use super::{add, ask, receive, send, split, status};
use gce_metadata_server::{AdminOptions, Server};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout};

const DAY: Duration = Duration::from_secs(86_400);

async fn start() -> Server {
    Server::builder().simulate().on_current_runtime().start().await.unwrap()
}

/// The status of the answer for `instance/id`, and the time that it takes in milliseconds.
async fn timed(server: &Server) -> (u16, u128) {
    let start = Instant::now();
    let status = status(server, "instance/id").await;
    (status, start.elapsed().as_millis())
}

fn with_response(response: Value) -> Value {
    json!({"request": {"path": "instance/id"}, "response": response})
}

#[tokio::test(start_paused = true)]
async fn an_answer_comes_after_its_delay() {
    let server = start().await;
    for (fault, expected) in [
        (with_response(json!({"status": 503, "fixedDelayMilliseconds": 250})), (503, 250)),
        (json!({"request": {"path": "instance/id"}, "instructions": ["stall-for-2s"]}), (200, 2000)),
        (
            with_response(json!({"proxyBaseUrl": "http://metadata.google.internal", "fixedDelayMilliseconds": 70_000})),
            (200, 70_000),
        ),
        (with_response(json!({"delayDistribution": {"type": "fixed", "milliseconds": 5}})), (200, 5)),
    ] {
        let guard = add(&server, fault.clone());
        assert_eq!(timed(&server).await, expected, "{fault}");
        drop(guard);
    }
    let uniform = json!({"status": 503, "delayDistribution": {"type": "uniform", "lower": 100, "upper": 200}});
    let _uniform = add(&server, with_response(uniform));
    let (_, milliseconds) = timed(&server).await;
    assert!((100..=201).contains(&milliseconds), "{milliseconds}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_gets_no_byte_until_its_fault_is_removed() {
    let server = start().await;
    let fault = add(&server, json!({"request": {"path": "instance/id"}, "instructions": ["stall-always"]}));
    let mut hanging = send(&server, "instance/id").await;
    assert!(timeout(DAY, hanging.read_u8()).await.is_err());
    assert_eq!((fault.injected(), status(&server, "instance/zone").await), (1, 200));
    drop(fault);
    let (bytes, end) = receive(hanging).await;
    assert_eq!((split(&bytes).0, end), (200, Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_ends_when_its_client_leaves() {
    let server = Server::builder().admin(AdminOptions::loopback()).on_current_runtime().start().await.unwrap();
    let _fault = add(&server, json!({"request": {"path": "instance/id"}, "instructions": ["stall-always"]}));
    drop(send(&server, "instance/id").await);
    let left = server.requests().matching(gce_metadata_server::Matching::path("instance/id")).wait_for(1, DAY).await;
    assert_eq!(left.unwrap()[0].status(), None);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_does_not_wait_for_delays() {
    let server = start().await;
    let _fault = add(&server, json!({"request": {"path": "instance/id"}, "instructions": ["stall-always"]}));
    let hanging = send(&server, "instance/id").await;
    crate::support::eventually("the request hangs", async || server.faults().list()[0].injected == 1).await;
    let start = Instant::now();
    let (drained, (bytes, _)) = tokio::join!(server.shutdown(), receive(hanging));
    assert!(drained && start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(split(&bytes).0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_pauses_after_its_first_bytes() {
    let server = start().await;
    let fault = json!({"request": {"path": "instance/attributes/a"}, "instructions": ["stall-for-2s-after-12B"]});
    let _fault = add(&server, fault);
    server.publisher().set("instance/attributes/a", "0123456789abcdefghij").unwrap();
    let (mut stream, start) = (send(&server, "instance/attributes/a").await, Instant::now());
    let mut first = String::new();
    while !first.ends_with("0123456789ab") {
        first.push(char::from(stream.read_u8().await.unwrap()));
    }
    assert!(first.contains("\r\nContent-Length: 20\r\n") && start.elapsed() < Duration::from_secs(1), "{first}");
    assert_eq!(char::from(stream.read_u8().await.unwrap()), 'c');
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(receive(stream).await, ("defghij".to_owned(), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_body_is_sent_in_chunks_over_time() {
    let server = start().await;
    let dribble = json!({"numberOfChunks": 5, "totalDuration": 1000});
    let _fault = add(&server, with_response(json!({"body": "abcdefghij", "chunkedDribbleDelay": dribble})));
    let (mut stream, start) = (send(&server, "instance/id").await, Instant::now());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.unwrap()));
    }
    let mut times = Vec::new();
    for _ in 0..10 {
        stream.read_u8().await.unwrap();
        times.push(start.elapsed().as_millis() / 10 * 10);
    }
    assert_eq!(times, [200, 200, 400, 400, 600, 600, 800, 800, 1000, 1000]);
    assert_eq!(ask(&server, "instance/zone").await.1, Ok(()));
}
