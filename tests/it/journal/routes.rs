//! The routes of the journal, as WireMock's clients use them.

use super::start;
use crate::admin::{Admin, builder, problem};
use crate::support::{Client, get, request};
use serde_json::{Value, json};

const PATH: &str = "/computeMetadata/v1/instance/id";

#[tokio::test]
async fn requests_are_listed_newest_first_with_limit_since_and_unmatched() {
    let (server, mut admin) = start().await;
    for path in ["instance/id", "instance/none", "instance/zone"] {
        get(&server, path).await;
    }
    let listed = admin.get("requests").await.json();
    let urls = |listed: &Value| {
        let requests = listed["requests"].as_array().unwrap().iter();
        requests
            .map(|event| event["request"]["url"].as_str().unwrap()["/computeMetadata/v1/".len()..].to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(urls(&listed), ["instance/zone", "instance/none", "instance/id"]);
    assert_eq!((&listed["meta"]["total"], &listed["requestJournalDisabled"]), (&3.into(), &false.into()));
    let limited = admin.get("requests?limit=1").await.json();
    assert_eq!((urls(&limited), &limited["meta"]["total"]), (vec!["instance/zone".to_owned()], &3.into()));
    assert_eq!(urls(&admin.get("requests?unmatched=true").await.json()), ["instance/none"]);
    assert_eq!(urls(&admin.get("requests?since=2000-01-01T00:00:00Z").await.json()).len(), 3);
    assert_eq!(urls(&admin.get("requests?since=2999-01-01T00:00:00%2B01:00").await.json()).len(), 0);
    for query in ["limit=x", "since=today", "unmatched=1"] {
        problem(&admin.get(&format!("requests?{query}")).await, 400);
    }
}

#[tokio::test]
async fn a_request_is_shown_and_removed_by_its_id() {
    let (server, mut admin) = start().await;
    get(&server, "instance/id").await;
    get(&server, "instance/zone").await;
    let listed = admin.get("requests").await.json();
    let id = format!("requests/{}", listed["requests"][1]["id"].as_str().unwrap());
    let event = admin.get(&id).await.json();
    assert_eq!(event, listed["requests"][1]);
    assert_eq!(event["request"]["url"], PATH);
    assert_eq!(admin.expect(200, "DELETE", &id, Value::Null).await.body, "{}");
    for method in ["GET", "DELETE"] {
        problem(&admin.expect(404, method, &id, Value::Null).await, 404);
    }
    assert_eq!(admin.get("requests").await.json()["meta"]["total"], 1);
    problem(&admin.get("requests/none").await, 404);
}

#[tokio::test]
async fn requests_are_counted_found_and_removed_by_a_pattern() {
    let (server, mut admin) = start().await;
    for path in ["instance/id", "instance/zone", "instance/id?alt=json"] {
        get(&server, path).await;
    }
    let pattern = json!({"method": "GET", "urlPath": PATH, "headers": {"Metadata-Flavor": {"equalTo": "Google"}}});
    assert_eq!(admin.expect(200, "POST", "requests/count", pattern.clone()).await.json()["count"], 2);
    let found = admin.expect(200, "POST", "requests/find", pattern.clone()).await.json();
    assert_eq!(found["requests"][0]["url"], PATH, "the oldest first");
    assert_eq!(found["requests"][1]["url"], format!("{PATH}?alt=json"));
    let removed = admin.expect(200, "POST", "requests/remove", pattern.clone()).await.json();
    assert_eq!(removed["serveEvents"].as_array().unwrap().len(), 2);
    assert_eq!(admin.expect(200, "POST", "requests/count", pattern).await.json()["count"], 0);
    assert_eq!(admin.expect(200, "POST", "requests/count", json!({})).await.json()["count"], 1);
}

#[tokio::test]
async fn patterns_that_are_not_supported_are_422_with_the_pointer_of_the_member() {
    let (_server, mut admin) = start().await;
    for route in ["requests/count", "requests/find", "requests/remove", "near-misses/request-pattern"] {
        let body = json!({"urlPath": PATH, "headers": {"A": {"equalToJson": "{}"}}});
        let answer = admin.expect(422, "POST", route, body).await;
        assert_eq!(answer.json()["errors"][0]["source"]["pointer"], "/headers/A/equalToJson", "{route}");
    }
    let body = json!({"request": {"bodyPatterns": []}});
    let answer = admin.expect(422, "POST", "requests/verify", body).await;
    assert_eq!(answer.json()["errors"][0]["source"]["pointer"], "/request/bodyPatterns");
    problem(&admin.send("POST", "requests/count", &[("content-type", "application/json")], "{").await, 400);
}

#[tokio::test]
async fn unmatched_requests_have_the_nearest_keys() {
    let (server, mut admin) = start().await;
    for path in ["instance/id", "instance/preemptd", "instance/preemptd", "instance/"] {
        get(&server, path).await;
    }
    let unmatched = admin.get("requests/unmatched").await.json();
    assert_eq!(unmatched["requests"].as_array().unwrap().len(), 2);
    let near = admin.get("requests/unmatched/near-misses").await.json();
    assert_eq!(near["nearMisses"].as_array().unwrap().len(), 1, "each path once: {near}");
    assert_eq!(near["nearMisses"][0]["request"]["metadataServer"]["nearestKeys"][0], "instance/preempted");
    assert!(near["nearMisses"][0]["matchResult"]["distance"].as_f64().unwrap() < 0.1);
}

#[tokio::test]
async fn near_misses_of_a_pattern_are_the_three_nearest_requests() {
    let (server, mut admin) = start().await;
    for path in ["instance/id", "instance/zone", "instance/name", "project/project-id", "instance/image"] {
        get(&server, path).await;
    }
    let pattern = json!({"urlPath": "/computeMetadata/v1/instance/idd"});
    let near = admin.expect(200, "POST", "near-misses/request-pattern", pattern.clone()).await.json();
    assert_eq!(near["nearMisses"].as_array().unwrap().len(), 3);
    let first = &near["nearMisses"][0];
    assert_eq!((&first["request"]["url"], &first["requestPattern"]), (&PATH.into(), &pattern));
    // WireMock's client for Java refuses further members, so `verify` alone has the nearest keys of a pattern.
    assert_eq!(near.as_object().unwrap().len(), 1);
    let verified = admin.expect(406, "POST", "requests/verify", json!({"request": pattern})).await.json();
    assert_eq!(verified["metadataServer"]["nearestKeys"][0], "instance/id");
}

#[tokio::test]
async fn resets_remove_all_requests_and_need_no_content_type() {
    let (server, mut admin) = start().await;
    for (method, path) in [("DELETE", "requests"), ("POST", "requests/reset"), ("POST", "reset")] {
        get(&server, "instance/id").await;
        assert_eq!(admin.get("requests").await.json()["meta"]["total"], 1);
        assert_eq!(admin.expect(200, method, path, Value::Null).await.body, "{}");
        assert_eq!(admin.get("requests").await.json()["meta"]["total"], 0, "{method} {path}");
    }
}

#[tokio::test]
async fn clients_of_wiremock_find_no_mappings_and_reset_them() {
    let (_server, mut admin) = start().await;
    assert_eq!(admin.get("mappings").await.json(), json!({"mappings": [], "meta": {"total": 0}}));
    for (method, path) in [("DELETE", "mappings"), ("POST", "mappings/reset"), ("POST", "scenarios/reset")] {
        assert_eq!(admin.expect(200, method, path, Value::Null).await.body, "{}");
        let with_type = [("content-type", "application/json")];
        assert_eq!(admin.send(method, path, &with_type, "").await.status, 200);
    }
}

#[tokio::test]
async fn without_entries_the_journal_is_off() {
    let server = builder().journal_entries(0).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    get(&server, "instance/id").await;
    let listed = admin.get("requests").await.json();
    assert_eq!(listed, json!({"requests": [], "meta": {"total": 0}, "requestJournalDisabled": true}));
    let counted = admin.expect(200, "POST", "requests/count", json!({})).await.json();
    assert_eq!(counted, json!({"count": 0, "requestJournalDisabled": true}));
    admin.expect(200, "DELETE", "requests", Value::Null).await;
    problem(&admin.expect(422, "POST", "requests/verify", json!({})).await, 422);
}

#[tokio::test]
async fn the_journal_has_as_many_entries_as_asked_for() {
    let server = builder().journal_entries(2).start().await.unwrap();
    let mut client = Client::connect(&server).await;
    for path in ["/1", "/2", "/3"] {
        client.send(request("GET", path, &[]), "").await;
    }
    let listed = Admin::of(&server).await.get("requests").await.json();
    let urls: Vec<_> = listed["requests"].as_array().unwrap().iter().map(|event| &event["request"]["url"]).collect();
    assert_eq!(urls, ["/3", "/2"]);
}
