//! The whole metadata server in an axum application: its paths beside the application's own.

#![allow(clippy::print_stdout)]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use gce_metadata_server::{CredentialSource, Metadata, Publisher, Stack, routes};
use std::error::Error;

fn application(publisher: &Publisher) -> Result<Router, Box<dyn Error>> {
    let credentials = CredentialSource::default().open()?;
    // Takes over what changes of the credentials, for as long as the application runs.
    tokio::spawn(credentials.attend(publisher.reader()));
    let mut router = routes::Router::new(publisher.clone(), credentials.tokens());
    for (path, endpoint) in credentials.routes() {
        router = router.with_route(path, endpoint)?;
    }
    let metadata = Stack::new(publisher.reader(), router).service::<Body, Body>();
    Ok(Router::new().route("/healthz", get(async || "well")).fallback_service(metadata))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::new(Metadata::sample().tree());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    println!("curl -i -H 'Metadata-Flavor: Google' http://{address}/computeMetadata/v1/project/project-id");
    axum::serve(listener, application(&publisher)?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    async fn ask(uri: &str) -> (u16, String) {
        let publisher = Publisher::new(Metadata::sample().tree());
        let request = http::Request::get(uri).header("Metadata-Flavor", "Google").body(Body::empty()).unwrap();
        let answer = application(&publisher).unwrap().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn both_are_served() {
        assert_eq!(ask("/healthz").await, (200, "well".into()));
        assert_eq!(ask("/computeMetadata/v1/project/project-id").await, (200, "sample-project".into()));
        assert_eq!(ask("/none").await.0, 404);
        let (status, keys) = ask("/oauth2/v3/certs").await;
        assert!(status == 200 && keys.contains(r#""kty":"RSA""#), "whoever verifies a token finds its key: {keys}");
        let (status, token) = ask("/computeMetadata/v1/instance/service-accounts/default/token").await;
        assert!(status == 200 && token.starts_with(r#"{"access_token":"ya29."#), "{token}");
    }
}
