//! Your own layer in the server's stack: it delays a path, to test how a client behaves if tokens are slow.
//!
//! `cargo run --example own_layer` serves it; `cargo test --example own_layer` is the test.

#![allow(clippy::print_stdout)]

use gce_metadata_server::{InnerService, Server, ServerBuilder};
use std::error::Error;
use std::time::Duration;
use tokio::time::sleep;
use tower::layer::layer_fn;
use tower::{ServiceExt, service_fn};

const DELAY: Duration = Duration::from_secs(3);

/// A server that delays access tokens by three seconds. The layer is inside the layers that refuse requests, so a request without
/// `Metadata-Flavor` is refused without delay.
fn server() -> ServerBuilder {
    Server::builder().layer(layer_fn(|inner: InnerService<_, _>| {
        service_fn(move |request: http::Request<_>| {
            let inner = inner.clone();
            async move {
                if request.uri().path().ends_with("/token") {
                    sleep(DELAY).await;
                }
                inner.oneshot(request).await
            }
        })
    }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = server().start().await?;
    println!("export GCE_METADATA_HOST={}", server.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Empty;
    use hyper_util::client::legacy::Client;
    use hyper_util::rt::TokioExecutor;
    use tokio::time::Instant;

    /// The status and the latency of the answer.
    async fn get(server: &Server, path: &str, flavor: &str) -> (u16, Duration) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let url = format!("http://{}/computeMetadata/v1/instance/{path}", server.address());
        let request = http::Request::get(url).header("Metadata-Flavor", flavor).body(Empty::new()).unwrap();
        let start = Instant::now();
        (client.request(request).await.unwrap().status().as_u16(), start.elapsed())
    }

    /// The paused clock advances while every task waits.
    #[tokio::test(start_paused = true)]
    async fn tokens_are_delayed_and_other_answers_are_not() {
        let server = server().on_current_runtime().start().await.unwrap();
        let (status, time) = get(&server, "service-accounts/default/token", "Google").await;
        assert!(status == 200 && time >= DELAY, "{status} {time:?}");
        let (status, time) = get(&server, "id", "Google").await;
        assert!(status == 200 && time < DELAY, "{status} {time:?}");
        let (status, time) = get(&server, "service-accounts/default/token", "none").await;
        assert!(status == 403 && time < DELAY, "{status} {time:?}");
    }
}
