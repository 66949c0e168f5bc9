//! What an entry of the journal has.

use super::start;
use crate::support::{Client, V1, eventually, get, request};
use serde_json::json;

#[tokio::test]
async fn an_entry_has_request_and_answer_in_the_form_of_wiremock() {
    let (server, mut admin) = start().await;
    let mut client = Client::connect(&server).await;
    let answer = client.get("instance/id?alt=json").await;
    let event = &admin.get("requests").await.json()["requests"][0];
    let request = &event["request"];
    assert_eq!(request["url"], format!("{V1}/instance/id?alt=json"));
    assert_eq!(request["absoluteUrl"], format!("{}{V1}/instance/id?alt=json", server.url().unwrap()));
    assert_eq!((&request["method"], &request["clientIp"]), (&"GET".into(), &"127.0.0.1".into()));
    assert_eq!(request["headers"]["Metadata-Flavor"], "Google");
    assert_eq!((&request["cookies"], &request["body"]), (&json!({}), &"".into()));
    assert_eq!(event["response"]["status"], 200);
    assert_eq!(event["response"]["headers"]["Etag"], answer.etag());
    assert_eq!(event["response"]["headers"]["Server"], "Metadata Server for VM", "the headers of the server too");
    assert_eq!(event["responseDefinition"], json!({"status": 200}));
    assert_eq!(event["wasMatched"], true);
    assert!(event["timing"]["totalTime"].is_u64() && request["loggedDate"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        (&event["request"]["metadataServer"]["path"], &event["request"]["metadataServer"]["generation"]),
        (&"instance/id".into(), &0.into())
    );
    server.publisher().set("instance/preempted", true).unwrap();
    client.get("instance/preempted").await;
    assert_eq!(admin.get("requests?limit=1").await.json()["requests"][0]["request"]["metadataServer"]["generation"], 1);
}

#[tokio::test]
async fn refusals_are_recorded_and_only_unknown_paths_are_unmatched() {
    let (server, mut admin) = start().await;
    let mut client = Client::connect(&server).await;
    let google = [("metadata-flavor", "Google")];
    for (status, path, headers) in [
        (404, "/computeMetadata/v1/instance/none", &google[..]),
        (301, "/computeMetadata/v1/instance", &google[..]),
        (403, "/computeMetadata/v1/instance/id", &[("metadata-flavor", "Google"), ("x-forwarded-for", "1.2.3.4")][..]),
    ] {
        assert_eq!(client.send(request("GET", path, headers), "").await.status, status);
        let event = &admin.get("requests?limit=1").await.json()["requests"][0];
        assert_eq!(event["response"]["status"], status);
        assert_eq!(event["wasMatched"], status != 404, "{path}");
    }
}

#[tokio::test]
async fn a_body_is_recorded_up_to_16_kib() {
    let (server, mut admin) = start().await;
    server.publisher().set("instance/attributes/enable-guest-attributes", "TRUE").unwrap();
    let mut client = Client::connect(&server).await;
    let path = format!("{V1}/instance/guest-attributes/a/b");
    let put = || request("PUT", &path, &[("metadata-flavor", "Google")]);
    assert_eq!(client.send(put(), "väl").await.status, 200);
    let recorded = admin.get("requests?limit=1").await.json()["requests"][0].clone();
    assert_eq!(
        (&recorded["request"]["body"], &recorded["request"]["bodyAsBase64"]),
        (&"väl".into(), &"dsOkbA==".into())
    );
    client.send(put(), &"a".repeat(20_000)).await;
    let recorded = admin.get("requests?limit=1").await.json()["requests"][0].clone();
    assert_eq!(recorded["request"]["body"].as_str().unwrap().len(), 16 * 1024);
    assert_eq!(recorded["request"]["metadataServer"]["bodyIsTruncated"], true);
}

#[tokio::test]
async fn a_request_for_a_token_has_account_and_scopes_and_no_secret() {
    let (server, mut admin) = start().await;
    let mut client = Client::connect(&server).await;
    let headers = [("metadata-flavor", "Google"), ("authorization", "Bearer secret-1"), ("cookie", "a=secret-2")];
    let token = format!("{V1}/instance/service-accounts/default/token?scopes=a,b");
    let answer = client.send(request("GET", &token, &headers), "").await;
    let given = answer.json()["access_token"].as_str().unwrap().to_owned();
    let identity = get(&server, "instance/service-accounts/default/identity?audience=https://a&format=full").await.body;
    let listed = admin.get("requests").await;
    for secret in ["secret-1", "secret-2", &given, &identity] {
        assert!(!listed.body.contains(secret), "{}", listed.body);
    }
    let events = listed.json();
    let extension = |index: usize| events["requests"][index]["request"]["metadataServer"].clone();
    assert_eq!(extension(1)["account"], "vm-1@sample-project.iam.gserviceaccount.com");
    assert_eq!(extension(1)["token"], json!({"kind": "access", "scopes": ["a", "b"]}));
    assert_eq!(extension(0)["token"], json!({"kind": "identity", "audience": "https://a", "format": "full"}));
    assert_eq!(events["requests"][1]["request"]["headers"]["Authorization"], "[redacted]");
}

#[tokio::test]
async fn a_long_poll_has_what_it_waited_for_and_why_it_ended() {
    let (server, mut admin) = start().await;
    let waited = async |admin: &mut crate::admin::Admin| {
        admin.get("requests?limit=1").await.json()["requests"][0]["request"]["metadataServer"]["waited"].clone()
    };
    get(&server, "instance/preempted?wait_for_change=true&timeout_sec=0").await;
    assert_eq!(waited(&mut admin).await, json!({"timeoutSec": 0, "milliseconds": 0, "endedBy": "none"}));

    let tag = get(&server, "instance/preempted").await.etag().to_owned();
    get(&server, &format!("instance/preempted?wait_for_change=true&last_etag={tag}&timeout_sec=1")).await;
    let ended = waited(&mut admin).await;
    let milliseconds = ended["milliseconds"].as_u64().unwrap();
    assert!(milliseconds >= 1000, "{milliseconds}");
    let expected = json!({"lastEtag": tag, "timeoutSec": 1, "milliseconds": milliseconds, "endedBy": "timeout"});
    assert_eq!(ended, expected);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_recorded_without_one() {
    let (server, mut admin) = start().await;
    let mut client = Client::connect(&server).await;
    let polling = tokio::spawn(async move { client.try_get("instance/id?wait_for_change=true").await.is_ok() });
    // Whether the server has read the request by then does not matter: it notices a client that left before too.
    eventually("the request has been sent", async || {
        get(&server, "instance/zone").await;
        admin.get("requests").await.json()["meta"]["total"].as_u64().unwrap() > 20
    })
    .await;
    polling.abort();
    eventually("the client has left", async || {
        let listed = admin.get("requests").await.json();
        let events = listed["requests"].as_array().unwrap().clone();
        events.iter().any(|event| {
            let extension = &event["request"]["metadataServer"];
            let status = &event["response"]["status"];
            extension["clientLeft"] == true && status.is_null() && extension["waited"]["endedBy"] == "client"
        })
    })
    .await;
}
