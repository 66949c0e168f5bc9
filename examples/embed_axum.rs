//! The metadata server in an axum application, mounted in three ways.
//!
//! `cargo run --example embed_axum` serves them on a free port and sends itself requests; `cargo test --example embed_axum` is the
//! test.

#![allow(clippy::print_stdout)]

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use gce_metadata_server::layers::InvalidMountPath;
use gce_metadata_server::{Metadata, Vm};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers every path that is not the application's own. Google's client libraries find the metadata at the usual paths.
fn as_fallback(vm: &Vm) -> Router {
    application().fallback_service(vm.stack().service())
}

/// Answers `/computeMetadata` and the paths below it. axum strips that path, and the stack restores it.
fn at_its_own_path(vm: &Vm) -> Result<Router, InvalidMountPath> {
    let path = "/computeMetadata";
    Ok(application().nest_service(path, vm.stack().mounted_at(path)?.service()))
}

/// Answers `/vm` and the paths below it, such as `/vm/computeMetadata/v1/`. Redirects keep `/vm`.
fn below_a_prefix(vm: &Vm) -> Result<Router, InvalidMountPath> {
    let path = "/vm";
    Ok(application().nest_service(path, vm.stack().mounted_at(path)?.service()))
}

fn application() -> Router {
    Router::new().route("/healthz", get(async || "well"))
}

/// The answer to a request: its status, its `Location` if it is a redirect, and its body.
async fn ask(server: SocketAddr, path: &str) -> Result<(u16, Option<String>, String), Box<dyn Error>> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let request = http::Request::get(format!("http://{server}{path}")).header("Metadata-Flavor", "Google");
    let answer = client.request(request.body(Body::empty())?).await?;
    let location = answer.headers().get("location").map(|location| location.to_str()).transpose()?.map(str::to_owned);
    let status = answer.status().as_u16();
    Ok((status, location, String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?))
}

/// Serves an application on a free port of the loopback address, until the runtime stops.
async fn serve(application: Router) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, application).await });
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (vm, tasks) = Vm::builder().metadata(Metadata::sample()).open().await?;
    tokio::spawn(tasks.run(CancellationToken::new()));
    for (application, path) in [
        (as_fallback(&vm), "/computeMetadata/v1/project/project-id"),
        (at_its_own_path(&vm)?, "/computeMetadata/v1/project/project-id"),
        (below_a_prefix(&vm)?, "/vm/computeMetadata/v1/project"),
    ] {
        let address = serve(application).await?;
        let (status, location, body) = ask(address, path).await?;
        println!("http://{address}{path}: {status}, {}", location.as_deref().unwrap_or(&body));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn vm() -> Vm {
        Vm::builder().metadata(Metadata::sample()).open().await.unwrap().0
    }

    /// Follows the redirect for a directory without a slash, and returns the path that it leads to.
    async fn follow(server: SocketAddr, path: &str) -> String {
        let (status, location, body) = ask(server, path).await.unwrap();
        let location = location.unwrap();
        let target = location.strip_prefix(&format!("http://{server}")).unwrap();
        assert_eq!((status, body), (301, format!("{target}\n")));
        let (status, _, listing) = ask(server, target).await.unwrap();
        assert!(status == 200 && listing.contains("project-id\n"), "{listing}");
        target.to_owned()
    }

    async fn assert_serves(server: SocketAddr, path: &str, body: &str) {
        assert_eq!(ask(server, path).await.unwrap(), (200, None, body.to_owned()), "{path}");
    }

    #[tokio::test]
    async fn the_stack_is_the_fallback_of_the_application() {
        let server = serve(as_fallback(&vm().await)).await.unwrap();
        assert_serves(server, "/healthz", "well").await;
        assert_serves(server, "/computeMetadata/v1/project/project-id", "sample-project").await;
        assert_eq!(follow(server, "/computeMetadata/v1/project").await, "/computeMetadata/v1/project/");
        assert_eq!(ask(server, "/none").await.unwrap().0, 404);
        let (status, _, keys) = ask(server, "/oauth2/v3/certs").await.unwrap();
        assert!(status == 200 && keys.contains(r#""kty":"RSA""#), "the key that verifies identity tokens: {keys}");
        let (status, _, token) =
            ask(server, "/computeMetadata/v1/instance/service-accounts/default/token").await.unwrap();
        assert!(status == 200 && token.starts_with(r#"{"access_token":"ya29."#), "{token}");
    }

    #[tokio::test]
    async fn the_stack_is_nested_at_compute_metadata() {
        let server = serve(at_its_own_path(&vm().await).unwrap()).await.unwrap();
        assert_serves(server, "/healthz", "well").await;
        assert_serves(server, "/computeMetadata/", "v1/\n").await;
        assert_serves(server, "/computeMetadata/v1/project/project-id", "sample-project").await;
        assert_eq!(follow(server, "/computeMetadata/v1/project").await, "/computeMetadata/v1/project/");
        let (status, _, page) = ask(server, "/computeMetadata/v1/none").await.unwrap();
        assert!(status == 404 && page.contains("<code>/computeMetadata/v1/none</code>"), "{page}");
    }

    #[tokio::test]
    async fn the_stack_is_nested_below_a_prefix() {
        let server = serve(below_a_prefix(&vm().await).unwrap()).await.unwrap();
        assert_serves(server, "/healthz", "well").await;
        assert_serves(server, "/vm/", "computeMetadata/\n").await;
        assert_serves(server, "/vm/computeMetadata/v1/project/project-id", "sample-project").await;
        assert_eq!(follow(server, "/vm/computeMetadata/v1/project").await, "/vm/computeMetadata/v1/project/");
        assert_eq!(ask(server, "/computeMetadata/v1/project/project-id").await.unwrap().0, 404);
        let (status, _, page) = ask(server, "/vm/computeMetadata/v1/none").await.unwrap();
        assert!(status == 404 && page.contains("<code>/vm/computeMetadata/v1/none</code>"), "{page}");
    }

    /// The guard sees the restored path: a nested stack must not answer without `Metadata-Flavor`.
    #[tokio::test]
    async fn a_nested_stack_requires_the_header() {
        use tower::ServiceExt;
        for (application, path) in [
            (at_its_own_path(&vm().await).unwrap(), "/computeMetadata/v1/instance/id"),
            (below_a_prefix(&vm().await).unwrap(), "/vm/computeMetadata/v1/instance/id"),
        ] {
            let request = http::Request::get(path).body(Body::empty()).unwrap();
            assert_eq!(application.oneshot(request).await.unwrap().status(), 403, "{path}");
        }
    }

    #[test]
    fn the_example_runs() {
        main().unwrap();
    }
}
