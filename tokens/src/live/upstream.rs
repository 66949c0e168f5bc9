//! The HTTP client for Google and other identity providers, with retries and a total time-out.
//!
//! Errors name the host and quote its answer. They never contain a secret of the request, even if the host echoes it.

mod attempt;
mod resolve;

use super::form::Form;
use super::redact::Redactions;
use super::retry::{Retry, retry_after};
use crate::fetch_error::FetchError;
#[cfg(feature = "device")]
use attempt::on_separate_thread;
use attempt::{Attempts, attempts, attempts_with_system_roots, trusting};
pub(super) use attempt::{NoAnswer, UpstreamRequest};
use bytes::Bytes;
use gce_metadata_routes::token::{Secret, TokenError};
use http::{HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::Full;
use rustls::ALL_VERSIONS;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt};
use zeroize::Zeroizing;

/// The total time-out, for all attempts and the backoff between them.
const TOTAL: Duration = Duration::from_secs(30);

/// The HTTP client. Clones share its connections.
#[derive(Clone)]
pub(crate) struct Upstream {
    attempt: BoxCloneSyncService<UpstreamRequest, Response<Bytes>, NoAnswer>,
}

impl Upstream {
    /// A client that trusts the system's root certificates, or Mozilla's if the system has none.
    pub(crate) fn new() -> Self {
        Self::over(attempts_with_system_roots())
    }

    /// A client that presents a certificate.
    pub(super) fn with_certificate(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self::over(attempts(trusting(ALL_VERSIONS)?.with_client_auth_cert(chain, key)?)))
    }

    /// A client that presents a certificate whose key is slow. Handshakes block, so the client runs on a separate
    /// thread.
    #[cfg(feature = "device")]
    pub(super) fn with_resolver(
        resolver: std::sync::Arc<dyn rustls::client::ResolvesClientCert>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Result<Self, rustls::Error> {
        let attempts = attempts(trusting(versions)?.with_client_cert_resolver(resolver));
        let attempts = on_separate_thread(attempts).map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self::over(attempts))
    }

    /// A client that makes its attempts with this service.
    fn over(attempt: impl Attempts) -> Self {
        Self { attempt: BoxCloneSyncService::new(attempt) }
    }

    /// POSTs a form to a token endpoint, and reads its JSON answer.
    pub(super) async fn post_form<T: DeserializeOwned>(&self, url: &str, form: Form) -> Result<T, FetchError> {
        let request = builder(Method::POST, url)?.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match &form.basic {
            Some(basic) => request.header(header::AUTHORIZATION, sensitive(&["Basic ", basic.expose()])?),
            None => request,
        };
        self.json(url, request, form.body.into(), form.redactions).await
    }

    /// POSTs JSON with a bearer token to one of Google's APIs, and reads its JSON answer.
    pub(super) async fn post_json<T: DeserializeOwned>(
        &self,
        url: &str,
        bearer: &Secret,
        body: &serde_json::Value,
    ) -> Result<T, FetchError> {
        let request = builder(Method::POST, url)?
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, sensitive(&["Bearer ", bearer.expose()])?);
        let redactions = Redactions::default().secret(bearer).text(body["audience"].as_str().unwrap_or_default());
        self.json(url, request, body.to_string().into(), redactions).await
    }

    /// Sends a request without a body, and returns the body of its answer.
    pub(super) async fn fetch(
        &self,
        method: Method,
        url: &str,
        headers: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<Bytes, FetchError> {
        let (mut request, mut redactions) = (builder(method, url)?, Redactions::default());
        for (name, value) in headers {
            request = request.header(name, sensitive(&[value])?);
            redactions = redactions.secret(&value.into()).text(value);
        }
        self.send(url, request, Bytes::new(), redactions).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        url: &str,
        request: http::request::Builder,
        body: Bytes,
        redactions: Redactions,
    ) -> Result<T, FetchError> {
        let answer = self.send(url, request, body, redactions).await?;
        // serde's own error could quote a token.
        serde_json::from_slice(&answer).map_err(|_| unavailable(format!("{} did not answer with a token", host(url))))
    }

    async fn send(
        &self,
        url: &str,
        request: http::request::Builder,
        body: Bytes,
        redactions: Redactions,
    ) -> Result<Bytes, FetchError> {
        let redactions = redactions.text(url.split_once('?').map_or("", |(_, query)| query));
        let request = request.body(Full::from(body)).map_err(|error| refused(format!("{}: {error}", host(url))))?;
        let end = Instant::now() + TOTAL;
        let attempts = ServiceBuilder::new().retry(Retry::until(end)).service(self.attempt.clone());
        let answer = tokio::time::timeout_at(end, attempts.oneshot(request)).await;
        match answer.unwrap_or(Err(NoAnswer::TimedOut)) {
            Ok(answer) if answer.status().is_success() => Ok(answer.into_body()),
            Ok(answer) => Err(status_error(url, &answer, &redactions)),
            Err(NoAnswer::TimedOut) => Err(unavailable(format!("{} did not answer in time", host(url)))),
            Err(NoAnswer::Unreachable(error)) => {
                Err(unavailable(format!("{}: {}", host(url), redactions.quote(&error))))
            }
        }
    }
}

fn builder(method: Method, url: &str) -> Result<http::request::Builder, FetchError> {
    // An invalid URL is not quoted: any part of it may be a secret.
    let uri: Uri = url.parse().map_err(|_| refused("a URL in the credentials is invalid".to_owned()))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused(format!(
            "{}: a URL in the credentials begins neither with http:// nor https://",
            host(url)
        )));
    }
    // hyper's debug log contains the authority.
    let uri = without_userinfo(uri).map_err(|_| refused("a URL in the credentials is invalid".to_owned()))?;
    Ok(Request::builder()
        .method(method)
        .uri(uri)
        .header(header::USER_AGENT, concat!("gce-metadata-server/", env!("CARGO_PKG_VERSION"))))
}

/// A header value that `Debug` does not show.
fn sensitive(parts: &[&str]) -> Result<HeaderValue, FetchError> {
    let text = Zeroizing::new(parts.concat());
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| refused("a secret with characters that a header can't contain".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn without_userinfo(uri: Uri) -> Result<Uri, http::Error> {
    let mut parts = uri.into_parts();
    if let Some((_, host)) = parts.authority.as_ref().and_then(|authority| authority.as_str().rsplit_once('@')) {
        parts.authority = Some(host.parse()?);
    }
    Ok(Uri::from_parts(parts)?)
}

/// The host and port of a URL. The rest of it may contain a secret.
fn host(url: &str) -> String {
    let uri = url.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority).map_or("?", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or(authority).to_owned()
}

/// The error of an answer that is not a success.
fn status_error(url: &str, answer: &Response<Bytes>, redactions: &Redactions) -> FetchError {
    let status = answer.status();
    let quote = error_text(answer.body()).map(|text| redactions.quote(&text)).filter(|quote| !quote.is_empty());
    let quote = quote.map(|quote| format!(": {quote}")).unwrap_or_default();
    let reason = format!("{} answered {}{quote}", host(url), status.as_u16());
    FetchError::from_status(status, reason, retry_after(answer))
}

/// The error text of an answer, in both of Google's formats: OAuth's `error` and `error_description`, and the APIs'
/// `error.message`.
fn error_text(body: &[u8]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |pointer| json.pointer(pointer).and_then(serde_json::Value::as_str);
    let texts = ["/error", "/error_description", "/error/status", "/error/message"].map(text);
    Some(texts.into_iter().flatten().collect::<Vec<_>>().join(": "))
}

pub(super) fn unavailable(reason: String) -> FetchError {
    TokenError::Unavailable { reason }.into()
}

pub(super) fn refused(reason: String) -> FetchError {
    TokenError::Refused { reason }.into()
}

#[cfg(test)]
mod echoes;
#[cfg(test)]
mod tests;
