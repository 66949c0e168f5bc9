//! The cost of a live token: from the cache, and with a fetch from the upstream token endpoint.
//!
//! The upstream is a bare hyper server on the loopback interface that answers at once. `upstream/call` POSTs a form there;
//! `upstream/token` fetches a token with the same call. The difference is the cost of our code: the assertion and its signature,
//! retries, time-outs and the cache.

#![allow(clippy::unwrap_used, missing_docs)]

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use gce_metadata_server::routes::{ServiceAccount, token::AccessTokenRequest};
use gce_metadata_server::{CredentialSource, LiveOptions, LiveSource};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const TOKEN: &str = r#"{"access_token": "ya29.made-up", "expires_in": 3599, "token_type": "Bearer"}"#;

/// Starts an upstream and returns its URL.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper::service::service_fn(async |request: Request<hyper::body::Incoming>| {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(TOKEN)))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

/// Writes the key file of a made-up account.
fn key_file(folder: &TempDir, token_uri: &str) -> LiveSource {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let label = "PRIVATE KEY";
    let pem = format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", BASE64_STANDARD.encode(der.as_ref()));
    let json = serde_json::json!({
        "type": "service_account", "client_email": "a@example.com", "private_key": pem, "token_uri": token_uri,
    });
    let path = folder.path().join("key.json");
    std::fs::write(&path, json.to_string()).unwrap();
    LiveSource::Key { path, email: None }
}

fn live(criterion: &mut Criterion) {
    let (runtime, folder) = (Runtime::new().unwrap(), TempDir::new().unwrap());
    let url = runtime.block_on(upstream());
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    // The length of a typical assertion.
    let form = Bytes::from(vec![b'x'; 900]);
    criterion.bench_function("upstream/call", |bencher| {
        bencher.iter(|| {
            let request = Request::post(&url).body(Full::from(form.clone())).unwrap();
            runtime.block_on(async { client.request(request).await.unwrap().into_body().collect().await.unwrap() })
        });
    });
    let source = CredentialSource::from(LiveOptions::new(key_file(&folder, &url)));
    let tokens = runtime.block_on(async { source.token_sources().unwrap() }).access.unwrap();
    let account = Arc::new(ServiceAccount::new("a@example.com", Vec::new(), vec!["default".to_owned()]));
    let request = |scope: String| AccessTokenRequest::new(account.clone(), [scope]);
    let mut number = 0;
    criterion.bench_function("upstream/token", |bencher| {
        bencher.iter(|| {
            // Each request has another scope, so none hits the cache.
            number += 1;
            runtime.block_on(tokens.clone().oneshot(request(number.to_string()))).unwrap()
        });
    });
    criterion.bench_function("upstream/cached token", |bencher| {
        bencher.iter(|| runtime.block_on(tokens.clone().oneshot(request("1".to_owned()))).unwrap());
    });
}

criterion_group!(benches, live);
criterion_main!(benches);
