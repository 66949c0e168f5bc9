//! The way to Google, and to whoever vouches for us there: an HTTP client with a limit to how long it tries.
//!
//! Its errors name the host and what the host said. They never hold a request's body or headers, where the secrets are.

mod attempt;

use super::retry::{Retry, retry_after};
use crate::credentials::failure::Failure;
#[cfg(feature = "tpm")]
use attempt::aside;
use attempt::{Attempts, attempts, trusting};
pub(super) use attempt::{NoAnswer, UpstreamRequest};
use bytes::Bytes;
use gce_metadata_routes::token::{Secret, TokenError};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use rustls::ALL_VERSIONS;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};
use zeroize::Zeroizing;

/// All attempts together, and the waits between them.
const TOTAL: Duration = Duration::from_secs(30);
/// As much as a log line needs of what a host says for itself.
const MOST_CHARS: usize = 300;

/// The HTTP client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Upstream {
    service: BoxCloneSyncService<UpstreamRequest, Response<Bytes>, NoAnswer>,
}

impl Upstream {
    /// A client that trusts the system's roots, or Mozilla's where the system has none.
    ///
    /// # Errors
    /// If TLS can't be set up.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        Ok(Self::over(attempts(trusting(ALL_VERSIONS)?.with_no_client_auth())))
    }

    /// The same, with a certificate of its own.
    pub(super) fn with_certificate(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::over(attempts(trusting(ALL_VERSIONS)?.with_client_auth_cert(chain, key)?)))
    }

    /// The same, with a certificate whose key takes its time: handshakes happen on a thread of their own, where nobody else
    /// waits for them.
    #[cfg(feature = "tpm")]
    pub(super) fn with_resolver(
        resolver: std::sync::Arc<dyn rustls::client::ResolvesClientCert>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<Self, rustls::Error> {
        let attempts = attempts(trusting(versions)?.with_client_cert_resolver(resolver));
        let aside = aside(attempts).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self::over(aside))
    }

    /// The retries over whatever makes a single attempt.
    fn over(attempt: impl Attempts) -> Self {
        let service = ServiceBuilder::new().retry(Retry::new()).service(attempt);
        Self { service: BoxCloneSyncService::new(service) }
    }

    /// POSTs a form, as token endpoints want it, and reads the JSON that comes back.
    pub(super) async fn post_form<T: DeserializeOwned>(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<&Secret>,
    ) -> Result<T, Failure> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = builder(Method::POST, url)?.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match basic {
            Some(credentials) => request.header(header::AUTHORIZATION, sensitive(&["Basic ", credentials.expose()])?),
            None => request,
        };
        self.json(url, request, body.into()).await
    }

    /// POSTs JSON with a bearer token, as Google's APIs want it, and reads the JSON that comes back.
    pub(super) async fn post_json<T: DeserializeOwned>(
        &self,
        url: &str,
        bearer: &Secret,
        body: &serde_json::Value,
    ) -> Result<T, Failure> {
        let request = builder(Method::POST, url)?
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, sensitive(&["Bearer ", bearer.expose()])?);
        self.json(url, request, body.to_string().into()).await
    }

    /// The body of an answer, whatever it is.
    pub(super) async fn fetch(
        &self,
        method: Method,
        url: &str,
        headers: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<Bytes, Failure> {
        let mut request = builder(method, url)?;
        for (name, value) in headers {
            request = request.header(name, sensitive(&[value])?);
        }
        self.send(url, request, Bytes::new()).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        url: &str,
        request: http::request::Builder,
        body: Bytes,
    ) -> Result<T, Failure> {
        let answer = self.send(url, request, body).await?;
        // What serde would say of it could quote a token.
        serde_json::from_slice(&answer)
            .map_err(|_| unavailable(format!("{} answered with something that is no token", host(url))))
    }

    async fn send(&self, url: &str, request: http::request::Builder, body: Bytes) -> Result<Bytes, Failure> {
        let request = request.body(Full::from(body)).map_err(|error| refused(format!("{}: {error}", host(url))))?;
        let answer = tokio::time::timeout(TOTAL, self.service.clone().oneshot(request)).await;
        match answer.unwrap_or(Err(NoAnswer::TimedOut)) {
            Ok(answer) if answer.status().is_success() => Ok(answer.into_body()),
            Ok(answer) => Err(refusal(url, &answer)),
            Err(NoAnswer::TimedOut) => Err(unavailable(format!("{} did not answer in time", host(url)))),
            Err(NoAnswer::Unreachable(error)) => Err(unavailable(format!("{}: {error}", host(url)))),
        }
    }
}

fn builder(method: Method, url: &str) -> Result<http::request::Builder, Failure> {
    // There may be a secret anywhere in what is not even a URL.
    let uri: Uri = url.parse().map_err(|_| refused("a URL of the credentials is none".to_owned()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused(format!(
            "{}: a URL of the credentials begins neither with http:// nor https://",
            host(url)
        )));
    }
    Ok(Request::builder()
        .method(method)
        .uri(uri)
        .header(header::USER_AGENT, concat!("gce-metadata-server/", env!("CARGO_PKG_VERSION"))))
}

/// A header that no `Debug` shows.
fn sensitive(parts: &[&str]) -> Result<HeaderValue, Failure> {
    let text = Zeroizing::new(parts.concat());
    let mut value =
        HeaderValue::from_str(&text).map_err(|_| refused("a secret that no header can carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The host and port of a URL. What stands before and after them might hold a secret.
fn host(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority).map_or("?", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or(authority).to_owned()
}

/// A refusal for good is a 4xx; anything else may pass.
fn refusal(url: &str, answer: &Response<Bytes>) -> Failure {
    let status = answer.status();
    let said = said(answer.body()).map(|said| format!(": {said}")).unwrap_or_default();
    let reason = format!("{} answered {}{said}", host(url), status.as_u16());
    let passes = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let failure = if status.is_client_error() && !passes { refused(reason) } else { unavailable(reason) };
    let not_before = retry_after(answer).and_then(|wait| Instant::now().checked_add(wait));
    Failure { not_before, status: Some(status), ..failure }
}

/// What the error fields of Google's two shapes say: OAuth's `error` and `error_description`, and the APIs' `error.message`.
fn said(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |pointer| json.pointer(pointer).and_then(serde_json::Value::as_str);
    let said = ["/error", "/error_description", "/error/status", "/error/message"].map(text);
    let said = said.into_iter().flatten().collect::<Vec<_>>().join(": ");
    Some(printable(&said)).filter(|said| !said.is_empty())
}

/// As much of what somebody else has said as a line of the log holds, and nothing that would begin another.
pub(super) fn printable(said: &str) -> String {
    said.chars().filter(|char| !char.is_control()).take(MOST_CHARS).collect()
}

pub(super) fn unavailable(reason: String) -> Failure {
    TokenError::Unavailable { reason }.into()
}

pub(super) fn refused(reason: String) -> Failure {
    TokenError::Refused { reason }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tower::service_fn;

    /// An upstream that answers with these statuses, one after another, and counts.
    fn answering(statuses: &'static [u16], retry_after: Option<&str>) -> (Upstream, Arc<AtomicUsize>) {
        let count = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&count);
        let retry_after = retry_after.map(|value| HeaderValue::from_str(value).unwrap());
        let attempt = service_fn(move |_: UpstreamRequest| {
            let status = statuses[counter.fetch_add(1, Ordering::Relaxed).min(statuses.len() - 1)];
            let mut answer = Response::builder().status(status);
            if let Some(value) = &retry_after {
                answer = answer.header(header::RETRY_AFTER, value);
            }
            let body = r#"{"error": "invalid_grant", "error_description": "no\nsuch account", "id_token": "secret"}"#;
            std::future::ready(Ok(answer.body(Bytes::from(body)).unwrap()))
        });
        (Upstream::over(attempt), count)
    }

    async fn ask(upstream: &Upstream) -> Result<Bytes, Failure> {
        upstream.fetch(Method::GET, "http://sts.example.com/token?key=secret", []).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_tried_again() {
        let (upstream, count) = answering(&[503, 429, 200], None);
        assert!(ask(&upstream).await.is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_not_tried_for_ever() {
        let (upstream, count) = answering(&[500], None);
        let error = ask(&upstream).await.unwrap_err();
        assert!(matches!(error.error, TokenError::Unavailable { .. }), "{error}");
        assert_eq!(count.load(Ordering::Relaxed), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_final_and_told_without_secrets() {
        let (upstream, count) = answering(&[400, 200], None);
        let error = ask(&upstream).await.unwrap_err();
        let TokenError::Refused { reason } = error.error else { panic!("{error}") };
        assert_eq!(reason, "sts.example.com answered 400: invalid_grant: nosuch account");
        assert_eq!(count.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn of_a_bad_url_only_the_host_is_told() {
        let upstream = Upstream::new().unwrap();
        for (url, told) in [
            ("https://sts.example .com/?key=secret", "a URL of the credentials is none"),
            ("sts.example.com/?key=secret", "a URL of the credentials is none"),
            ("ftp://me:secret@sts.example.com/?key=secret", "sts.example.com: a URL"),
            ("/token?key=secret", "?: a URL"),
        ] {
            let error = upstream.fetch(Method::GET, url, []).await.unwrap_err().to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_for_ever() {
        // Connections are taken here, and nothing is ever said.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/token", silent.local_addr().unwrap());
        let start = Instant::now();
        let error = Upstream::new().unwrap().fetch(Method::GET, &url, []).await.unwrap_err();
        assert!(error.to_string().ends_with("did not answer in time"), "{error}");
        assert!((10..=31).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_honoured() {
        let (upstream, count) = answering(&[429, 200], Some("7"));
        let start = Instant::now();
        assert!(ask(&upstream).await.is_ok());
        assert!((7..9).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        // A wait that takes longer than anyone waits is none.
        let (upstream, count_of_long) = answering(&[429, 200], Some("3600"));
        assert!(ask(&upstream).await.is_err());
        assert_eq!((count.load(Ordering::Relaxed), count_of_long.load(Ordering::Relaxed)), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_may_be_a_date() {
        let date = httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(9));
        let (upstream, _) = answering(&[503, 200], Some(&date));
        let start = Instant::now();
        assert!(ask(&upstream).await.is_ok());
        assert!((5..10).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    }
}
