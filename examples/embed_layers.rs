//! Single layers around your own service, in a plain hyper server.
//!
//! The service returns the value of a name. The layers add what clients expect of a metadata server: `Metadata-Flavor`, entity tags
//! and `wait_for_change`.
//!
//! `cargo run --example embed_layers` serves it; `cargo test --example embed_layers` is the test.

#![allow(clippy::print_stdout)]

use bytes::Bytes;
use gce_metadata_server::layers::{EtagLayer, RequireFlavorLayer, SetServerHeadersLayer, WaitForChangeLayer};
use http::{Request, Response};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::{Service, ServiceBuilder, service_fn};

type Values = BTreeMap<String, String>;

/// The service with its layers. The path is a name, the body its value.
fn service(
    values: &watch::Sender<Values>,
) -> impl Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ use<> {
    let current = values.subscribe();
    ServiceBuilder::new()
        .layer(SetServerHeadersLayer::new())
        .layer(RequireFlavorLayer::new())
        .layer(WaitForChangeLayer::new(values.subscribe()))
        .layer(EtagLayer::new())
        .service(service_fn(move |request: Request<Full<Bytes>>| {
            let name = request.uri().path().trim_start_matches('/');
            let value = current.borrow().get(name).cloned();
            let status = if value.is_some() { 200 } else { 404 };
            let mut response = Response::new(Full::from(value.unwrap_or_default()));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
            async { Ok(response) }
        }))
}

async fn serve(stream: TcpStream, values: &watch::Sender<Values>) -> Result<(), hyper::Error> {
    let service = ServiceBuilder::new()
        // A long poll repeats the request, so its body must be `Default`.
        .map_request(|request: Request<hyper::body::Incoming>| request.map(|_| Full::default()))
        .service(service(values));
    http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (values, _keep) = watch::channel(Values::from([("colour".to_owned(), "green".to_owned())]));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("curl -i -H 'Metadata-Flavor: Google' http://{}/colour", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let values = values.clone();
        tokio::spawn(async move { serve(stream, &values).await });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_plain_service_gets_headers_entity_tags_and_long_polls() {
        let (values, _keep) = watch::channel(Values::from([("colour".to_owned(), "green".to_owned())]));
        let ask = |uri: &str, flavor: &str| {
            let request = Request::get(uri).header("Metadata-Flavor", flavor).body(Full::default()).unwrap();
            service(&values).oneshot(request)
        };
        assert_eq!(ask("/colour", "vanilla").await.unwrap().status(), 403);
        assert_eq!(ask("/taste", "Google").await.unwrap().status(), 404);
        let green = ask("/colour", "Google").await.unwrap();
        assert_eq!(green.headers()["metadata-flavor"], "Google");
        let tag = green.headers()["etag"].to_str().unwrap();

        let waiting = ask(&format!("/colour?wait_for_change=true&last_etag={tag}"), "Google");
        let change = async { values.send_modify(|values| _ = values.insert("colour".into(), "red".into())) };
        let (red, ()) = tokio::join!(waiting, change);
        assert_eq!(red.unwrap().into_body().collect().await.unwrap().to_bytes(), "red");
    }
}
