//! A test that the work is saved when the machine is preempted.
//!
//! `cargo test --example preemption` runs it.

use bytes::Bytes;
use gce_metadata_server::Server;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use std::error::Error;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The program under test: works until the machine is preempted, then saves its work.
async fn work(metadata_host: String) -> Result<&'static str> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let (mut tag, mut preempted) = ("0".to_owned(), Bytes::new());
    while preempted != "TRUE" {
        let query = format!("wait_for_change=true&last_etag={tag}&timeout_sec=60");
        let url = format!("http://{metadata_host}/computeMetadata/v1/instance/preempted?{query}");
        let request = http::Request::get(url).header("Metadata-Flavor", "Google").body(Empty::new())?;
        let answer = client.request(request).await?;
        tag = answer.headers().get("ETag").ok_or("no ETag")?.to_str()?.to_owned();
        preempted = answer.into_body().collect().await?.to_bytes();
    }
    Ok("saved")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let server = Server::builder().simulate().start().await?;
    let worker = tokio::spawn(work(server.address().to_string()));
    server.scenario("preemption").run().await?;
    assert_eq!(worker.await??, "saved");
    Ok(())
}

#[test]
fn the_work_is_saved_when_the_machine_is_preempted() {
    main().unwrap();
}
