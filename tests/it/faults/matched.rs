//! Which requests get a fault, which fault of several, and what the journal says.

use super::{TOKEN, add, answer, start, status};
use crate::admin::Admin;
use crate::support::{Client, V1, request};
use serde_json::json;

#[tokio::test]
async fn faults_match_by_method_path_query_header_client_and_account() {
    let server = start().await;
    let mut client = Client::connect(&server).await;
    let url = format!("{V1}/{TOKEN}?scopes=a");
    let email = crate::support::get(&server, "instance/service-accounts/default/email").await.body;
    for (pattern, is_matched) in [
        (json!({}), true),
        (json!({"method": "GET"}), true),
        (json!({"method": "PUT"}), false),
        (json!({"urlPathPattern": "/computeMetadata/v1/instance/service-accounts/[^/]+/token"}), true),
        (json!({"urlPath": format!("{V1}/{TOKEN}")}), true),
        (json!({"url": format!("{V1}/{TOKEN}")}), false),
        (json!({"path": "instance/service-accounts/*/token"}), true),
        (json!({"path": "instance/service-accounts/*/identity"}), false),
        (json!({"queryParameters": {"scopes": {"equalTo": "a"}}}), true),
        (json!({"queryParameters": {"scopes": {"equalTo": "b"}}}), false),
        (json!({"headers": {"authorization": {"equalTo": "Bearer made-up"}}}), true),
        (json!({"headers": {"Metadata-Flavor": {"absent": true}}}), false),
        (json!({"clientIp": {"equalTo": "127.0.0.1"}}), true),
        (json!({"clientIp": {"equalTo": "10.0.0.7"}}), false),
        (json!({"account": {"equalTo": "default"}}), true),
        (json!({"account": {"equalTo": email}}), true),
        (json!({"account": {"equalTo": "other@example.com"}}), false),
        (json!({"account": {"equalTo": "default"}, "method": "PUT"}), false),
    ] {
        let guard = add(&server, json!({"request": pattern, "response": {"status": 503}}));
        let headers = [("metadata-flavor", "Google"), ("authorization", "Bearer made-up")];
        let answered = client.send(request("GET", &url, &headers), "").await;
        assert_eq!(answered.status == 503, is_matched, "{pattern}");
        assert_eq!(guard.status().unwrap().matched, u64::from(is_matched), "{pattern}");
        drop(guard);
    }
    let _fault = add(&server, json!({"request": {"account": {"equalTo": "none"}}, "response": {"status": 503}}));
    assert_eq!(status(&server, "instance/service-accounts/none/email").await, 503, "an account that does not exist");
    assert_eq!(status(&server, "instance/id").await, 200, "a path without an account");
}

#[tokio::test]
async fn the_highest_priority_is_tried_first_and_then_the_newest() {
    let server = start().await;
    let fault = |status: u16, priority: Option<u32>| json!({"priority": priority, "response": {"status": status}});
    let _older = add(&server, fault(500, None));
    let newest = add(&server, fault(502, None));
    let first = add(&server, fault(503, Some(1)));
    let _last = add(&server, fault(504, Some(9)));
    assert_eq!(status(&server, "instance/id").await, 503);
    drop(first);
    assert_eq!(status(&server, "instance/id").await, 502);
    assert_eq!((newest.status().unwrap().matched, newest.injected()), (1, 1), "it was not tried before");
    drop(newest);
    assert_eq!(status(&server, "instance/id").await, 500);
}

#[tokio::test]
async fn a_fault_whose_turn_it_is_not_leaves_the_request_to_the_next_one() {
    let server = start().await;
    let _always = add(&server, json!({"response": {"status": 500}}));
    let second = add(&server, json!({"succeedFirst": 1, "failRequestCount": 1, "response": {"status": 503}}));
    let answered = [(); 3].map(|()| status(&server, "instance/id"));
    let [a, b, c] = answered;
    assert_eq!((a.await, b.await, c.await), (500, 503, 500));
    let status = second.status().unwrap();
    assert_eq!((status.matched, status.injected, status.is_completed), (3, 1, true));
}

#[tokio::test]
async fn faults_precede_the_flavor_check_and_follow_the_host_check() {
    let server = start().await;
    let _fault = add(&server, json!({"response": {"status": 503}}));
    let mut client = Client::connect(&server).await;
    assert_eq!(client.send(request("GET", &format!("{V1}/instance/id"), &[]), "").await.status, 503);
    let rebound = request("GET", "/", &[("host", "rebound.example.net")]);
    assert_eq!(client.send(rebound, "").await.status, 403);
}

#[tokio::test]
async fn a_server_without_simulation_has_no_faults() {
    let server = gce_metadata_server::Server::builder().start().await.unwrap();
    let faults = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.faults().list()));
    assert!(faults.is_err());
}

#[tokio::test]
async fn the_journal_names_the_fault() {
    let server = crate::admin::builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let stub = add(&server, json!({"name": "stub", "request": {"urlPath": "/none"}, "response": {"body": "made"}}));
    let words =
        json!({"request": {"path": "instance/id"}, "instructions": ["return-reset-connection", "stall-for-0s"]});
    let words = add(&server, words);
    let mut client = Client::connect(&server).await;
    client.send(request("GET", "/none", &[]), "").await;
    assert!(super::ask(&server, "instance/id").await.1.is_err());
    answer(&server, "instance/id").await;
    answer(&server, "instance/id").await;
    let listed = admin.get("requests").await.json();
    let events = listed["requests"].as_array().unwrap();
    let [usual, delayed, reset, stubbed] = &events[..] else { panic!("{listed}") };
    assert!(usual.get("stubMapping").is_none(), "{usual}");
    assert_eq!(stubbed["stubMapping"], json!({"id": stub.id(), "uuid": stub.id(), "name": "stub"}));
    assert_eq!((&stubbed["wasMatched"], &stubbed["response"]["status"]), (&true.into(), &200.into()));
    assert_eq!(reset["stubMapping"]["id"], words.id());
    assert_eq!((&reset["wasMatched"], &reset["response"]["status"]), (&true.into(), &json!(null)));
    assert_eq!((&delayed["stubMapping"]["id"], &delayed["response"]["status"]), (&words.id().into(), &200.into()));
    let received = server.requests().received();
    assert_eq!((received[0].fault(), received[1].status(), received[3].fault()), (Some(stub.id()), None, None));
}
