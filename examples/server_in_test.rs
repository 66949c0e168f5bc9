//! A metadata server in a test. The test changes the metadata while the code under test reads it.
//!
//! `cargo run --example server_in_test` shows it; `cargo test --example server_in_test` is the test.

#![allow(clippy::print_stdout)]

use gce_metadata_server::{Metadata, Server};
use serde_json::json;
use std::error::Error;

/// The code under test: an application that reads its project. `host` is the value of `GCE_METADATA_HOST`.
async fn project_id(host: &str) -> Result<String, Box<dyn Error>> {
    metadata(host, "project/project-id").await
}

/// The code under test: an application that prepares for maintenance of its host.
async fn next_maintenance_event(host: &str) -> Result<String, Box<dyn Error>> {
    metadata(host, "instance/maintenance-event?wait_for_change=true&last_etag=0").await
}

async fn metadata(host: &str, path: &str) -> Result<String, Box<dyn Error>> {
    use http_body_util::{BodyExt, Empty};
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let request = http::Request::get(format!("http://{host}/computeMetadata/v1/{path}"))
        .header("Metadata-Flavor", "Google")
        .body(Empty::<bytes::Bytes>::new())?;
    let body = client.request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// A server with the metadata that the test needs. Each server has a free port by default, so tests can run in parallel.
async fn server() -> Result<(Server, String), Box<dyn Error>> {
    let vm = json!({
        "instance": {"maintenanceEvent": "NONE"},
        "project": {"projectId": "test-project"},
    });
    let server = Server::builder().metadata(Metadata::from_json(vm)?).access_token("ya29.made-up").start().await?;
    let host = server.address().to_string();
    Ok((server, host))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (server, host) = server().await?;
    println!("project: {}", project_id(&host).await?);
    println!("maintenance: {}", next_maintenance_event(&host).await?);
    server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE")?;
    println!("maintenance: {}", next_maintenance_event(&host).await?);
    server.shutdown().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_application_reads_its_project() {
        let (_server, host) = server().await.unwrap();
        assert_eq!(project_id(&host).await.unwrap(), "test-project");
    }

    #[tokio::test]
    async fn the_application_is_notified_of_maintenance() {
        let (server, host) = server().await.unwrap();
        server.publisher().set("instance/maintenance-event", "MIGRATE_ON_HOST_MAINTENANCE").unwrap();
        assert_eq!(next_maintenance_event(&host).await.unwrap(), "MIGRATE_ON_HOST_MAINTENANCE");
    }
}
