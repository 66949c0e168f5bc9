//! Every listed entry is served: follows all listings from `/` down to their leaves.

use crate::support::{Client, dump, request, serve};
use gce_metadata_server::{Metadata, Server};
use std::collections::BTreeSet;

/// GCE lists guest attributes even while no attribute enables them, and then refuses them.
const GUEST_ATTRIBUTES: &str = "/computeMetadata/v1/instance/guest-attributes/";

/// Leaves whose value is computed for each request.
const COMPUTED: [&str; 3] = ["identity", "mds-client-certificate", "token"];

/// Returns the number of leaves. Entries in `refused` are listed and answered 403.
pub(crate) async fn walk(server: &Server, refused: &[&str]) -> usize {
    let mut client = Client::connect(server).await;
    let mut ask = async |path: &str| client.send(request("GET", path, &[("metadata-flavor", "Google")]), "").await;
    let mut directories = vec!["/".to_owned()];
    let mut served = 0;
    while let Some(directory) = directories.pop() {
        let listing = ask(&directory).await;
        if refused.contains(&&*directory) {
            assert_eq!(listing.status, 403, "{directory}");
            continue;
        }
        assert_eq!(listing.status, 200, "{directory}");
        assert_eq!(listing.header("content-type"), Some("application/text"), "{directory}");
        let mut sorted: Vec<_> = listing.body.lines().collect();
        sorted.sort_unstable();
        let is_array = sorted.first().is_some_and(|line| line.trim_end_matches('/') == "0");
        assert!(is_array || listing.body.lines().eq(sorted), "{directory} is not sorted: {}", listing.body);
        for line in listing.body.lines() {
            let path = format!("{directory}{line}");
            if line.ends_with('/') {
                let unslashed = ask(path.trim_end_matches('/')).await;
                let is_leaf_too = listing.body.lines().any(|leaf| leaf == line.trim_end_matches('/'));
                let expected = if is_leaf_too { 200 } else { 301 };
                let is_refused = refused.contains(&&*path);
                assert!(unslashed.status == expected || is_refused, "{path} without its slash: {}", unslashed.status);
                directories.push(path);
                continue;
            }
            served += 1;
            let query = if line == "identity" { "?audience=a&" } else { "?" };
            let mut tags = BTreeSet::new();
            for form in ["", "alt=text", "alt=json", "recursive=true"] {
                let leaf = ask(&format!("{path}{query}{form}")).await;
                assert_eq!(leaf.status, 200, "{path}{query}{form}");
                tags.insert(leaf.header("etag").map(str::to_owned));
            }
            // A computed value has no entity tag, and nothing to wait for.
            let is_computed = COMPUTED.contains(&line);
            assert!(
                tags.len() == 1 && tags.first().is_some_and(|tag| tag.is_none() == is_computed),
                "{path}: {tags:?}"
            );
            let waited = ask(&format!("{path}{query}wait_for_change=true&timeout_sec=0")).await;
            assert_eq!(waited.status, if is_computed { 400 } else { 200 }, "{path}");
            let expected = if listing.body.lines().any(|other| other == format!("{line}/")) { 200 } else { 404 };
            assert_eq!(ask(&format!("{path}/")).await.status, expected, "{path}/");
        }
        if directory.starts_with("/computeMetadata/v1") {
            for form in ["recursive=true", "recursive=true&alt=text", "recursive=true&alt=json"] {
                assert_eq!(ask(&format!("{directory}?{form}")).await.status, 200, "{directory}?{form}");
            }
        }
    }
    served
}

#[tokio::test]
async fn every_listed_entry_of_a_dump_is_served() {
    let server = serve(serde_json::from_str(&dump()).unwrap()).await;
    server.publisher().set("instance/guest-attributes/ns/key", "value").unwrap();
    assert!(walk(&server, &[]).await > 100);
}

#[tokio::test]
async fn every_listed_entry_of_the_sample_is_served() {
    let server = Server::builder().metadata(Metadata::sample()).start().await.unwrap();
    assert!(walk(&server, &[GUEST_ATTRIBUTES]).await > 50);
}

#[tokio::test]
async fn every_listed_entry_of_the_older_apis_is_served() {
    let dump = Metadata::from_json(serde_json::from_str(&dump()).unwrap()).unwrap();
    let server = Server::builder().metadata(dump).enable_legacy_endpoints().start().await.unwrap();
    assert!(walk(&server, &[]).await > 200);
}

#[tokio::test]
async fn a_vm_without_service_accounts_is_valid() {
    let server = serve(serde_json::json!({"instance": {"name": "vm-1", "serviceAccounts": {}}})).await;
    assert_eq!(walk(&server, &[]).await, 1);
    let mut client = Client::connect(&server).await;
    assert_eq!(client.get("instance/service-accounts/").await.body, "");
    assert_eq!(client.get("instance/service-accounts/?recursive=true").await.body, "{}");
    assert_eq!(client.get("instance/service-accounts/default/token").await.status, 404);
}
