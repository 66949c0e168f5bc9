//! The client of the admin API: the options that name the server, requests, and errors in the words of the API.

use super::url::AdminUrl;
use crate::cli::block_on::block_on;
use crate::cli::target::without_user;
use crate::cli::usage_error::UsageError;
use crate::cli::{file, http_client};
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use futures_util::StreamExt;
use gce_metadata_server::Environment;
use gce_metadata_server::routes::token::Secret;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;
use sse_stream::SseStream;
use std::path::PathBuf;
use std::time::Duration;

/// How long the server may take to answer. The server itself answers 503 after ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// The largest error instead of a stream of events.
const MAX_ERROR_BYTES: usize = 1 << 20;

const EVENT_STREAM: &[u8] = b"text/event-stream";

const NO_ANSWER: &str = "the admin API does not answer";

const NO_URL: &str = "GCE_METADATA_ADMIN is not set: start the server with --admin 0 and set the variable to the address that it \
    prints, or run this command by exec, which sets the variable; --admin-url overrides it";

const NO_ADMIN: &str =
    "--admin-url and GCE_METADATA_ADMIN name the address of the server's --admin, not that of its metadata";

const TOKEN_REMEDY: &str = "give the token by --admin-token-file or GCE_METADATA_ADMIN_TOKEN";

/// The exit status of the commands, for their help.
pub(super) const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  the admin API refused the request, or did not answer
  2  the command line is wrong";

/// The options of commands that use an admin API.
#[derive(Debug, Args)]
pub(super) struct AdminApi {
    /// URL of the server's admin API, http://HOST:PORT or unix:PATH [default: GCE_METADATA_ADMIN]
    #[arg(long, value_name = "URL")]
    admin_url: Option<AdminUrl>,

    /// File of the token that the admin API requires [default: GCE_METADATA_ADMIN_TOKEN]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

impl AdminApi {
    /// Sends a request. An answer with an error status is an error.
    pub(super) fn send(
        &self,
        environment: &Environment,
        request: request::Builder,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Response<Bytes>> {
        let (url, answer) = self.exchange(environment, request, body, ANSWER_LIMIT)?;
        checked(&url, answer)
    }

    /// Sends a request that the server answers with 406 if a condition does not hold: `Err` has the problem document.
    pub(super) fn check(
        &self,
        environment: &Environment,
        request: request::Builder,
        body: impl Into<Bytes>,
        time: Duration,
    ) -> anyhow::Result<Result<(), Value>> {
        let (url, answer) = self.exchange(environment, request, body, ANSWER_LIMIT + time)?;
        if answer.status() == StatusCode::NOT_ACCEPTABLE && is_problem(answer.headers()) {
            return Ok(Err(json(&answer)?));
        }
        checked(&url, answer).map(|_| Ok(()))
    }

    /// Sends a request whose answer is a stream of events, and calls `each` with the type and the data of each event until the server ends
    /// the stream.
    pub(super) fn follow(
        &self,
        environment: &Environment,
        request: request::Builder,
        mut each: impl FnMut(&str, &str) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (url, request) = self.request(environment, request, Bytes::new())?;
        block_on(async {
            let answer = http_client::open(url.peer(), request, ANSWER_LIMIT).await.context(NO_ANSWER)?;
            let (head, body) = answer.into_parts();
            if head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes) != Some(EVENT_STREAM) {
                let body = Limited::new(body, MAX_ERROR_BYTES).collect().await;
                let body = body.map_err(|error| anyhow!(error)).context(NO_ANSWER)?.to_bytes();
                checked(&url, Response::from_parts(head, body))?;
                bail!("{url}: the answer is not a stream of events");
            }
            let mut events = SseStream::new(body);
            while let Some(event) = events.next().await {
                let event = event.with_context(|| format!("{url}: the stream of events broke"))?;
                if let (Some(kind), Some(data)) = (&event.event, &event.data) {
                    each(kind, data)?;
                }
            }
            Ok(())
        })?
    }

    fn exchange(
        &self,
        environment: &Environment,
        request: request::Builder,
        body: impl Into<Bytes>,
        limit: Duration,
    ) -> anyhow::Result<(AdminUrl, Response<Bytes>)> {
        let (url, request) = self.request(environment, request, body)?;
        let answer = block_on(http_client::send(url.peer(), request, limit))?.context(NO_ANSWER)?;
        Ok((url, answer))
    }

    /// The URL of the admin API, and the request with its token.
    fn request(
        &self,
        environment: &Environment,
        request: request::Builder,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<(AdminUrl, Request<Bytes>)> {
        let url = self.url(environment)?;
        let mut request = request.body(body.into()).context("the request")?;
        if let Some(token) = self.token(environment)? {
            let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut bearer = bearer.context("the admin token can't be sent in a header")?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        Ok((url, request))
    }

    fn url(&self, environment: &Environment) -> anyhow::Result<AdminUrl> {
        if let Some(url) = &self.admin_url {
            return Ok(url.clone());
        }
        let url = environment.admin_url.as_deref().ok_or_else(|| UsageError(NO_URL.to_owned()))?;
        let parsed = url.parse();
        Ok(parsed.map_err(|error: String| {
            UsageError(format!("environment variable GCE_METADATA_ADMIN: `{}`: {error}", without_user(url)))
        })?)
    }

    fn token(&self, environment: &Environment) -> anyhow::Result<Option<Secret>> {
        let Some(path) = &self.admin_token_file else { return Ok(environment.admin_token.clone()) };
        let text = file::read(path).with_context(|| format!("--admin-token-file {}", path.display()))?;
        Ok(Some(text.trim().into()))
    }
}

/// The JSON of an answer.
pub(super) fn json(answer: &Response<Bytes>) -> anyhow::Result<Value> {
    serde_json::from_slice(answer.body()).context("the answer of the admin API is not JSON")
}

/// Returns a successful answer of an admin API.
fn checked(url: &AdminUrl, answer: Response<Bytes>) -> anyhow::Result<Response<Bytes>> {
    let status = answer.status();
    let content_type = answer.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if status.is_success() && (answer.body().is_empty() || content_type == Some(b"application/json")) {
        return Ok(answer);
    }
    match Some(&answer).filter(|answer| is_problem(answer.headers())).and_then(problem) {
        Some(problem) if status == StatusCode::UNAUTHORIZED => bail!("{problem}; {TOKEN_REMEDY}"),
        Some(problem) => bail!(problem),
        None => bail!("{url}: this is not an admin API: it answered {status}; {NO_ADMIN}"),
    }
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value == "application/problem+json")
}

/// The detail of a problem document on one line, with the place in the body.
fn problem(answer: &Response<Bytes>) -> Option<String> {
    let problem: Value = serde_json::from_slice(answer.body()).ok()?;
    let detail = problem["detail"].as_str()?.lines().collect::<Vec<_>>().join(" ");
    let pointer = problem["errors"][0]["source"]["pointer"].as_str().filter(|pointer| !pointer.is_empty());
    Some(match pointer {
        Some(pointer) => format!("{detail} (at {pointer})"),
        None => detail,
    })
}
