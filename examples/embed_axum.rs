//! The whole metadata server in an axum application: its paths beside the application's own.

#![allow(clippy::print_stdout)]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use gce_metadata_server::{Metadata, Vm};
use std::error::Error;
use tokio_util::sync::CancellationToken;

fn application(vm: &Vm) -> Router {
    let metadata = vm.stack::<Body, Body>().service();
    Router::new().route("/healthz", get(async || "well")).fallback_service(metadata)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (vm, tasks) = Vm::builder().metadata(Metadata::sample()).open().await?;
    tokio::spawn(tasks.run(CancellationToken::new()));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    println!("curl -i -H 'Metadata-Flavor: Google' http://{address}/computeMetadata/v1/project/project-id");
    axum::serve(listener, application(&vm)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(uri: &str) -> (u16, String) {
        let (vm, _tasks) = Vm::builder().metadata(Metadata::sample()).open().await.unwrap();
        let request = http::Request::get(uri).header("Metadata-Flavor", "Google").body(Body::empty()).unwrap();
        let answer = application(&vm).oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_application_and_the_metadata_are_served() {
        assert_eq!(ask("/healthz").await, (200, "well".into()));
        assert_eq!(ask("/computeMetadata/v1/project/project-id").await, (200, "sample-project".into()));
        assert_eq!(ask("/none").await.0, 404);
        let (status, keys) = ask("/oauth2/v3/certs").await;
        assert!(status == 200 && keys.contains(r#""kty":"RSA""#), "the key that verifies identity tokens: {keys}");
        let (status, token) = ask("/computeMetadata/v1/instance/service-accounts/default/token").await;
        assert!(status == 200 && token.starts_with(r#"{"access_token":"ya29."#), "{token}");
    }
}
