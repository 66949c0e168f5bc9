//! Tests of a program that runs on a VM: its attributes, a preemption while it waits, and tokens that expire.
//!
//! `cargo test --example recipes` runs the tests.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The program under test.
struct App {
    /// The value of `GCE_METADATA_HOST`.
    metadata_host: String,
    http: Client<HttpConnector, Empty<Bytes>>,
    /// A token, and when it expires.
    token: Option<(String, Instant)>,
}

impl App {
    fn new(metadata_host: String) -> Self {
        Self { metadata_host, http: Client::builder(TokioExecutor::new()).build_http(), token: None }
    }

    /// The text and the entity tag of a value.
    async fn metadata(&self, path: &str) -> Result<(String, String)> {
        let url = format!("http://{}/computeMetadata/v1/{path}", self.metadata_host);
        let request = http::Request::get(url).header("Metadata-Flavor", "Google").body(Empty::new())?;
        let (head, body) = self.http.request(request).await?.into_parts();
        let tag = head.headers.get("ETag").map(|tag| tag.to_str()).transpose()?.unwrap_or_default().to_owned();
        Ok((String::from_utf8(body.collect().await?.to_bytes().to_vec())?, tag))
    }

    async fn wait_for_preemption(&self) -> Result<()> {
        let (mut state, mut tag) = self.metadata("instance/preempted").await?;
        while state != "TRUE" {
            let wait = format!("instance/preempted?wait_for_change=true&last_etag={tag}");
            (state, tag) = self.metadata(&wait).await?;
        }
        Ok(())
    }

    /// A token that has not expired.
    async fn token(&mut self) -> Result<String> {
        if let Some((token, expiry)) = &self.token
            && Instant::now() < *expiry
        {
            return Ok(token.clone());
        }
        let (answer, _) = self.metadata("instance/service-accounts/default/token").await?;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let lifetime = Duration::from_secs(answer["expires_in"].as_u64().ok_or("no expires_in")?);
        let token = answer["access_token"].as_str().ok_or("no access_token")?.to_owned();
        self.token = Some((token.clone(), Instant::now() + lifetime));
        Ok(token)
    }

    /// The status of a storage service's answer.
    async fn download(&mut self, storage_url: &str, name: &str) -> Result<http::StatusCode> {
        let authorization = format!("Bearer {}", self.token().await?);
        let url = format!("{storage_url}/storage/v1/b/reports/o/{name}?alt=media");
        let request = http::Request::get(url).header("Authorization", authorization).body(Empty::new())?;
        Ok(self.http.request(request).await?.status())
    }
}

/// The arguments are the address of a metadata server, `HOST:PORT`, and the URL of a storage service.
#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut app = App::new(arguments.next().ok_or("no address of a metadata server")?);
    app.download(&arguments.next().ok_or("no URL of a storage service")?, "today").await?;
    app.wait_for_preemption().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_server::{CredentialSource, Metadata, OfflineOptions, Server};
    use http::{HeaderMap, StatusCode, header};
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    /// The VM and the program. Each test has its own server, on a free port.
    async fn vm(token_lifetime: Duration) -> (Server, App) {
        let metadata = Metadata::empty()
            .with_project_id("my-project")
            .with_attribute("color", "blue")
            .with_service_account("app@my-project.iam.gserviceaccount.com");
        let mut tokens = OfflineOptions::default();
        tokens.token_lifetime = token_lifetime;
        let server = Server::builder().metadata(metadata).credentials(CredentialSource::Offline(tokens));
        let server = server.start().await.unwrap();
        let app = App::new(server.address().to_string());
        (server, app)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn the_project_and_a_custom_attribute() {
        let (_server, app) = vm(HOUR).await;
        assert_eq!(app.metadata("project/project-id").await.unwrap().0, "my-project");
        assert_eq!(app.metadata("instance/attributes/color").await.unwrap().0, "blue");
    }

    #[tokio::test]
    async fn the_program_notices_that_its_vm_is_preempted() {
        let (server, app) = vm(HOUR).await;
        let preempt = async { server.publisher().set("instance/preempted", "TRUE").unwrap() };
        let (noticed, _) = tokio::join!(app.wait_for_preemption(), preempt);
        noticed.unwrap();
    }

    /// The tokens that a storage service has seen: the last one, and when each of the metadata server's tokens expires.
    #[derive(Default)]
    struct Seen {
        last: Option<String>,
        expiry: HashMap<String, Instant>,
    }

    /// A storage service that accepts the tokens of the metadata server until they expire.
    async fn storage(metadata_host: String, seen: Arc<Mutex<Seen>>) -> String {
        let answer = async move |headers: HeaderMap| {
            let token = App::new(metadata_host).token().await.unwrap();
            let mut seen = seen.lock().unwrap();
            // expires_in is rounded down to seconds, so the first token has at most one second more.
            seen.expiry.entry(token).or_insert_with(|| Instant::now() + Duration::from_secs(2));
            let sent = headers[header::AUTHORIZATION].to_str().unwrap().replace("Bearer ", "");
            let is_valid = seen.expiry.get(&sent).is_some_and(|expiry| Instant::now() < *expiry);
            seen.last = Some(sent);
            if is_valid { StatusCode::OK } else { StatusCode::UNAUTHORIZED }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(answer)).await });
        url
    }

    #[tokio::test]
    async fn a_request_after_the_token_has_expired_has_a_new_token() {
        let (_server, mut app) = vm(Duration::from_secs(1)).await;
        let seen = Arc::default();
        let storage = storage(app.metadata_host.clone(), Arc::clone(&seen)).await;
        let mut first = None;
        let downloads = async {
            loop {
                assert_eq!(app.download(&storage, "today").await.unwrap(), StatusCode::OK);
                let last = seen.lock().unwrap().last.clone();
                if *first.get_or_insert_with(|| last.clone()) != last {
                    break;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(30), downloads).await.unwrap();
    }
}
