//! Answers, broken bodies and broken connections, byte by byte.

use super::{TOKEN, add, answer, ask, length, split, start, status};
use crate::support::get;
use gce_metadata_server::layers::{Rejection, RequestHead};
use serde_json::{Value, json};
use std::io::ErrorKind;

fn on(path: &str, response: Value) -> Value {
    json!({"request": {"path": path}, "response": response})
}

fn word(path: &str, word: &str) -> Value {
    json!({"request": {"path": path}, "instructions": [word]})
}

#[tokio::test]
async fn a_status_has_the_page_that_the_server_itself_has() {
    let server = start().await;
    for (status, own) in [
        (400, Rejection::BadRequest),
        (403, Rejection::Forbidden),
        (404, Rejection::NotFound),
        (429, Rejection::TooManyRequests),
        (500, Rejection::Internal),
        (503, Rejection::Unavailable),
    ] {
        let fault = add(&server, on("instance/id", json!({"status": status})));
        let (answered, head, body) = answer(&server, "instance/id").await;
        let request = http::Request::get("/computeMetadata/v1/instance/id").body(()).unwrap();
        let page: http::Response<bytes::Bytes> = own.into_response(&RequestHead::of(&request));
        assert_eq!((answered, body.as_bytes()), (status, &page.body()[..]));
        assert!(head.contains("\r\nMetadata-Flavor: Google\r\n"), "{head}");
        assert!(head.contains("\r\nContent-Type: text/html; charset=UTF-8\r\n"), "{head}");
        drop(fault);
    }
    let _words = add(&server, word("instance/id", "return-502"));
    let (answered, _, body) = answer(&server, "instance/id").await;
    assert_eq!((answered, body.as_str()), (502, ""), "a status without a page");
    assert_eq!(status(&server, "instance/id").await, 200, "the instruction is used up");
}

#[tokio::test]
async fn an_answer_has_the_headers_and_the_body_of_the_fault() {
    let server = start().await;
    let headers = json!({"Retry-After": "1", "Metadata-Flavor": null, "Server": "another", "a": ["b", "c"]});
    let _fault = add(&server, on(TOKEN, json!({"status": 429, "headers": headers, "jsonBody": {"error": "busy"}})));
    let (status, head, body) = answer(&server, TOKEN).await;
    assert_eq!((status, body.as_str()), (429, r#"{"error":"busy"}"#));
    for line in
        ["Retry-After: 1", "Server: another", "A: b", "A: c", "Content-Type: application/json", "X-Xss-Protection: 0"]
    {
        assert!(head.lines().any(|it| it == line), "{line}: {head}");
    }
    assert!(!head.contains("Metadata-Flavor"), "{head}");
    let _empty = add(&server, on("instance/id", json!({})));
    let (status, head, body) = answer(&server, "instance/id").await;
    assert_eq!((status, length(&head), body.as_str()), (200, 0, ""), "a response without a status");
}

#[tokio::test]
async fn a_reset_connection_ends_with_rst_and_no_byte() {
    let server = start().await;
    for fault in [
        on("instance/id", json!({"fault": "CONNECTION_RESET_BY_PEER"})),
        word("instance/id", "return-reset-connection"),
    ] {
        let _fault = add(&server, fault);
        assert_eq!(ask(&server, "instance/id").await, (String::new(), Err(ErrorKind::ConnectionReset)));
    }
}

#[tokio::test]
async fn an_empty_response_ends_with_fin_and_no_byte() {
    let server = start().await;
    for fault in [on("instance/id", json!({"fault": "EMPTY_RESPONSE"})), word("instance/id", "return-empty-response")] {
        let _fault = add(&server, fault);
        assert_eq!(ask(&server, "instance/id").await, (String::new(), Ok(())));
    }
}

#[tokio::test]
async fn a_truncated_body_has_its_whole_content_length_and_is_cut() {
    let server = start().await;
    let path = "?recursive=true";
    let whole = get(&server, path).await.body;
    assert!(whole.len() > 1000, "{}", whole.len());
    let everything = json!({"urlPath": "/computeMetadata/v1/"});
    let usual = "http://metadata.google.internal";
    for (mut fault, expected) in [
        (json!({"instructions": ["return-broken-stream-after-12B"]}), 12),
        (json!({"instructions": ["return-broken-stream-after-1K"]}), 1024),
        (json!({"instructions": ["return-broken-stream"]}), whole.len() / 2),
        (json!({"response": {"proxyBaseUrl": usual, "truncateBodyAtFraction": 0.25}}), whole.len() / 4),
        (json!({"response": {"body": whole, "truncateBodyAtFraction": 0.0}}), 0),
    ] {
        fault["request"] = everything.clone();
        let guard = add(&server, fault.clone());
        let (bytes, end) = ask(&server, path).await;
        let (status, head, body) = split(&bytes);
        assert_eq!((status, end), (200, Ok(())), "{fault}: the connection is closed, not reset");
        assert_eq!((length(&head), body.as_str()), (whole.len(), &whole[..expected]), "{fault}");
        drop(guard);
    }
}

#[tokio::test]
async fn corrupted_json_has_its_length_and_does_not_parse() {
    let server = start().await;
    let usual = json!({"proxyBaseUrl": "http://metadata.google.internal", "malformedBody": true});
    for fault in [
        on(TOKEN, usual),
        word(TOKEN, "return-corrupted-data"),
        on(TOKEN, json!({"jsonBody": [1], "malformedBody": true})),
    ] {
        let guard = add(&server, fault);
        let (status, head, body) = answer(&server, TOKEN).await;
        assert_eq!((status, length(&head)), (200, body.len()));
        assert!(serde_json::from_str::<Value>(&body).is_err(), "{body}");
        drop(guard);
    }
    let (_, _, body) = answer(&server, TOKEN).await;
    assert!(serde_json::from_str::<Value>(&body).is_ok(), "{body}");
}

#[tokio::test]
async fn head_requests_get_faults_without_a_body() {
    let server = start().await;
    let _fault = add(&server, on("instance/id", json!({"status": 503})));
    let mut client = crate::support::Client::connect(&server).await;
    let head = client.send(crate::support::request("HEAD", "/computeMetadata/v1/instance/id", &[]), "").await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (503, ""));
}
