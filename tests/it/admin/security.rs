//! The checks of requests to the admin API.

use super::{Admin, builder, problem};
use crate::support::{Client, request};
use gce_metadata_server::{Address, AdminOptions, Server};
use std::net::Ipv4Addr;
use tokio::net::UnixStream;

#[tokio::test]
async fn pages_of_other_sites_are_refused() {
    let server = builder().start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    for (name, value) in [
        ("host", "rebound.example.com"),
        ("host", "metadata.google.internal"),
        ("origin", "http://www.example.com"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
    ] {
        problem(&admin.send("GET", "metadata", &[(name, value)], "").await, 403);
    }
    for form in ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"] {
        problem(&admin.send("POST", "settings", &[("content-type", form)], "{}").await, 415);
    }
    let answer = admin.get("metadata").await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")), "{:?}", answer.headers);
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn a_token_is_required_if_one_is_set() {
    let options = AdminOptions::loopback().token("made-up");
    let server = Server::builder().admin(options).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    let refused = admin.get("metadata").await;
    problem(&refused, 401);
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    assert_eq!(admin.send("GET", "metadata", &[("authorization", "Bearer made-up")], "").await.status, 200);
    assert_eq!(admin.get("health").await.status, 200, "for health checks without the token");
}

#[tokio::test]
async fn an_address_beyond_this_machine_needs_a_token() {
    let everywhere = || AdminOptions::listen((Ipv4Addr::UNSPECIFIED, 0));
    let error = Server::builder().admin(everywhere()).start().await.unwrap_err().to_string();
    assert!(error.starts_with("admin: 0.0.0.0:") && error.contains("--admin-token-file"), "{error}");
    let server = Server::builder().admin(everywhere().token("made-up")).start().await.unwrap();
    assert!(server.admin_url().unwrap().starts_with("http://127.0.0.1:"));
    let error = Server::builder().admin(AdminOptions::loopback().token("two words")).start().await.unwrap_err();
    assert!(!error.to_string().contains("two words"), "{error}");
}

#[tokio::test]
async fn further_hosts_can_be_allowed() {
    let options = AdminOptions::loopback().allow_host("metadata-admin");
    let server = Server::builder().admin(options).start().await.unwrap();
    let mut admin = Admin::of(&server).await;
    assert_eq!(admin.send("GET", "version", &[("host", "metadata-admin:9001")], "").await.status, 200);
    assert!(Server::builder().admin(AdminOptions::loopback().allow_host("a/b")).start().await.is_err());
}

#[tokio::test]
async fn the_admin_socket_is_for_this_user() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let server = Server::builder().admin(AdminOptions::unix_socket(&path)).start().await.unwrap();
    assert_eq!(server.admin_url().unwrap(), format!("unix:{}", path.display()));
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = Client::over(UnixStream::connect(&path).await.unwrap(), "localhost").await;
    assert_eq!(client.send(request("GET", "/__admin/version", &[]), "").await.status, 200);
    drop(server);
}

#[tokio::test]
async fn each_listener_serves_its_own_paths_only() {
    let server = builder().start().await.unwrap();
    let mut metadata = Client::connect(&server).await;
    let flavor = [("metadata-flavor", "Google")];
    assert_eq!(metadata.send(request("GET", "/__admin/metadata", &flavor), "").await.status, 404);
    let mut admin = Admin::of(&server).await;
    let asked = admin.0.send(request("GET", "/computeMetadata/v1/instance/id", &flavor), "").await;
    problem(&asked, 404);
}

/// Idle connections to the admin listener take no connection of the metadata's.
#[tokio::test]
async fn connections_of_the_admin_listener_have_a_limit_of_their_own() {
    let server = builder().max_connections(1).start().await.unwrap();
    let mut admins = Vec::new();
    for _ in 0..8 {
        let mut admin = Admin::of(&server).await;
        assert_eq!(admin.get("version").await.status, 200);
        admins.push(admin);
    }
    assert_eq!(crate::support::get(&server, "instance/id").await.status, 200);
}

#[tokio::test]
async fn a_server_without_the_option_has_no_admin_listener() {
    let server = Server::builder().start().await.unwrap();
    assert_eq!((server.admin_address(), server.admin_url()), (None::<&Address>, None));
}
