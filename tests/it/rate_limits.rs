//! `--enforce-rate-limits`: 429 for the endpoints that GCE limits, and for no others.

use crate::support::{Client, ask_metrics, request};
use gce_metadata_server::{Metadata, Server, ServerBuilder};
use serde_json::json;
use std::net::Ipv4Addr;

fn vm() -> ServerBuilder {
    let vm = json!({"instance": {
        "attributes": {"enable-guest-attributes": "TRUE"}, "id": 1,
        "serviceAccounts": {"default": {"email": "vm@example.com", "scopes": ["a", "b"]}},
    }});
    Server::builder().metadata(Metadata::from_json(vm).unwrap())
}

/// Sends `times` requests and returns how many were answered 429; all others must be 200.
async fn refused(client: &mut Client, times: usize, path: impl Fn(usize) -> String) -> usize {
    let mut refused = 0;
    for number in 0..times {
        let answer = client.get(&path(number)).await;
        assert!([200, 429].contains(&answer.status.as_u16()), "{}", answer.status);
        if answer.status == 429 {
            assert!(answer.body.contains("Error 429 (Too Many Requests)!!1"), "{}", answer.body);
            assert_eq!(answer.header("metadata-flavor"), Some("Google"));
            refused += 1;
        }
    }
    refused
}

const TOKEN: &str = "instance/service-accounts/default/token";

#[tokio::test]
async fn rate_limited_requests_are_429_and_counted_and_other_paths_are_not_limited() {
    let server = vm().enforce_rate_limits().metrics((Ipv4Addr::LOCALHOST, 0), "/metrics").start().await.unwrap();
    let mut client = Client::connect(&server).await;
    // The bucket holds 10 requests and refills 10 a minute, so at most 20 are answered even on a slow machine.
    assert!(refused(&mut client, 50, |_| "instance/guest-attributes/".into()).await >= 30);
    assert_eq!(refused(&mut client, 200, |_| "instance/id".into()).await, 0);
    assert_eq!(refused(&mut client, 200, |_| TOKEN.into()).await, 0, "cached tokens are not limited");
    let path = "/computeMetadata/v1/instance/guest-attributes/ns/key";
    let mut written = Vec::new();
    for _ in 0..50 {
        let answer = client.send(request("PUT", path, &[("metadata-flavor", "Google")]), "value").await;
        written.push(answer.status.as_u16());
    }
    assert!(written.contains(&429), "{written:?}");
    let (_, metrics) = ask_metrics(&server, "/metrics").await;
    let counted = "metadata_endpoint_path_requests{code=\"Too Many Requests\",\
        path=\"/computeMetadata/v1/instance/guest-attributes/\"}";
    assert!(metrics.contains(counted), "{metrics}");
    assert!(!metrics.contains("guest-attributes/ns/key"), "{metrics}");
}

#[tokio::test]
async fn rate_limits_are_off_by_default() {
    let server = vm().start().await.unwrap();
    let mut client = Client::connect(&server).await;
    assert_eq!(refused(&mut client, 100, |_| "instance/guest-attributes/".into()).await, 0);
}
