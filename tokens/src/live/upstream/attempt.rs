//! A single attempt: connection, request and answer, within a time-out.

use super::resolve::connector;
use bytes::Bytes;
use gce_metadata_support::blocking::blocking;
#[cfg(feature = "device")]
use gce_metadata_support::thread::Thread;
use http::uri::Scheme;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::TokioExecutor;
use rustls::client::WantsClientCert;
use rustls::{ALL_VERSIONS, ClientConfig, ConfigBuilder, SupportedProtocolVersion};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;
#[cfg(feature = "device")]
use tokio::sync::{mpsc, oneshot};
use tower::{Service, ServiceExt, service_fn};

/// The time-out of an attempt.
const ATTEMPT: Duration = Duration::from_secs(10);
/// The maximum size of an answer, far above the size of a token.
const MAX_BYTES: usize = 1024 * 1024;

/// A request. It can be cloned for a retry.
pub(in crate::live) type UpstreamRequest = Request<Full<Bytes>>;

/// The error of an attempt without an answer.
#[derive(Debug, Clone)]
pub(in crate::live) enum NoAnswer {
    Unreachable(String),
    TimedOut,
}

/// A service that makes a single attempt.
pub(super) trait Attempts:
    Service<UpstreamRequest, Response = Response<Bytes>, Error = NoAnswer, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Attempts for S where
    S: Service<UpstreamRequest, Response = Response<Bytes>, Error = NoAnswer, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A TLS configuration that trusts the system's root certificates, or Mozilla's in a container image without any.
pub(super) fn trusting(
    versions: &[&'static SupportedProtocolVersion],
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
    match builder()?.with_native_roots() {
        Ok(config) => Ok(config),
        Err(_) => Ok(builder()?.with_webpki_roots()),
    }
}

/// Makes single attempts that trust the system's root certificates, which are read for the first request over HTTPS: that takes
/// milliseconds, and a start has no use for them.
pub(super) fn attempts_with_system_roots() -> impl Attempts {
    let (plain, encrypted) = (attempts_over(connector()), Arc::new(OnceCell::new()));
    service_fn(move |request: UpstreamRequest| {
        let (plain, encrypted) = (plain.clone(), Arc::clone(&encrypted));
        async move {
            if request.uri().scheme() == Some(&Scheme::HTTP) {
                return plain.oneshot(request).await;
            }
            let encrypted = encrypted.get_or_try_init(|| async {
                let failed = |error: &dyn std::error::Error| NoAnswer::Unreachable(format!("TLS: {error}"));
                let trusting = blocking(|| trusting(ALL_VERSIONS)).await.map_err(|error| failed(&error))?;
                Ok(attempts(trusting.map_err(|error| failed(&error))?.with_no_client_auth()))
            });
            encrypted.await?.clone().oneshot(request).await
        }
    })
}

/// Makes single attempts with this configuration of TLS.
pub(super) fn attempts(config: ClientConfig) -> impl Attempts {
    let https = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    attempts_over(https.wrap_connector(connector()))
}

/// Makes single attempts over these connections, each within the time-out.
fn attempts_over<C: Connect + Clone + Send + Sync + 'static>(connector: C) -> impl Attempts {
    let client = Client::builder(TokioExecutor::new()).build(connector);
    service_fn(move |request: UpstreamRequest| {
        let client = client.clone();
        async move { tokio::time::timeout(ATTEMPT, attempt(client, request)).await.unwrap_or(Err(NoAnswer::TimedOut)) }
    })
}

/// Makes the attempts on a separate thread.
#[cfg(feature = "device")]
pub(super) fn on_separate_thread(attempts: impl Attempts) -> std::io::Result<impl Attempts> {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Job>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = Thread::start("upstream", move || {
        runtime.block_on(async move {
            while let Some((request, reply)) = receiver.recv().await {
                let attempt = attempts.clone().oneshot(request);
                tokio::spawn(async move { _ = reply.send(attempt.await) });
            }
        });
    })?;
    let thread = AttemptThread { sender, _thread: Arc::new(thread) };
    Ok(service_fn(move |request| thread.attempt(request)))
}

/// A request and the sender of its answer.
#[cfg(feature = "device")]
type Job = (UpstreamRequest, oneshot::Sender<Result<Response<Bytes>, NoAnswer>>);

/// The handle of the separate thread.
#[cfg(feature = "device")]
#[derive(Clone)]
struct AttemptThread {
    sender: mpsc::UnboundedSender<Job>,
    /// Declared after `sender`, because dropping it waits for the thread, which ends when the channel is closed.
    _thread: Arc<Thread>,
}

#[cfg(feature = "device")]
impl AttemptThread {
    fn attempt(&self, request: UpstreamRequest) -> impl Future<Output = Result<Response<Bytes>, NoAnswer>> + use<> {
        let thread_ended = || NoAnswer::Unreachable("its thread has ended".to_owned());
        let (reply, answer) = oneshot::channel();
        let sent = self.sender.send((request, reply));
        async move {
            sent.map_err(|_| thread_ended())?;
            answer.await.unwrap_or_else(|_| Err(thread_ended()))
        }
    }
}

async fn attempt<C>(client: Client<C, Full<Bytes>>, request: UpstreamRequest) -> Result<Response<Bytes>, NoAnswer>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let answer = client.request(request).await.map_err(|error| unreachable_for(&error))?;
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MAX_BYTES).collect().await;
    let body = body.map_err(|error| NoAnswer::Unreachable(error.to_string()))?;
    Ok(Response::from_parts(parts, body.to_bytes()))
}

/// The error with all its causes. The last one is the most precise.
fn unreachable_for(error: &dyn std::error::Error) -> NoAnswer {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    NoAnswer::Unreachable(causes.collect::<Vec<_>>().join(": "))
}
