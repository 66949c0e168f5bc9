//! The default account that is added for given tokens if the metadata has no account.

use crate::support::get;
use gce_metadata_server::{ConfigDocument, Metadata, Server};
use serde_json::json;

const ACCOUNT: &str = "instance/service-accounts/default";

#[tokio::test]
async fn a_given_token_adds_the_default_account() {
    let config = json!({"computeMetadata": {"v1": {"project": {"numericProjectId": 42}}}});
    for (metadata, email) in [
        (ConfigDocument::from_json(config).unwrap().metadata, "42-compute@developer.gserviceaccount.com"),
        (Metadata::empty(), "0-compute@developer.gserviceaccount.com"),
    ] {
        let server = Server::builder().metadata(metadata).access_token("foo").start().await.unwrap();
        assert_eq!(get(&server, &format!("{ACCOUNT}/token")).await.json()["access_token"], "foo");
        assert_eq!(get(&server, &format!("{ACCOUNT}/email")).await.body, email);
        let listing = get(&server, "instance/service-accounts/").await.body;
        assert_eq!(listing, format!("{email}/\ndefault/\n"));
    }
}

#[tokio::test]
async fn the_default_account_is_added_after_a_reload_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, r#"{"instance": {"serviceAccounts": {"default": {"email": "a@example.com"}}}}"#).unwrap();
    let server = Server::builder().metadata_file(&file).id_token("e30.e30.").start().await.unwrap();
    assert_eq!(get(&server, &format!("{ACCOUNT}/email")).await.body, "a@example.com");
    std::fs::write(&file, r#"{"instance": {"serviceAccounts": {}}}"#).unwrap();
    server.reload().await.unwrap();
    assert_eq!(get(&server, &format!("{ACCOUNT}/identity?audience=a")).await.body, "e30.e30.");
    assert_eq!(get(&server, &format!("{ACCOUNT}/email")).await.body, "0-compute@developer.gserviceaccount.com");
}

#[tokio::test]
async fn offline_tokens_add_no_account() {
    let server = Server::builder().metadata(Metadata::empty()).start().await.unwrap();
    assert_eq!(get(&server, &format!("{ACCOUNT}/token")).await.status, 404);
}
