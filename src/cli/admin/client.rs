//! The client of the admin API: the options that name the server, requests, and errors in the words of the API.

use super::url::AdminUrl;
use crate::cli::block_on::block_on;
use crate::cli::target::without_user;
use crate::cli::usage_error::UsageError;
use crate::cli::{file, http_client};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use gce_metadata_server::Environment;
use gce_metadata_server::routes::token::Secret;
use http::{HeaderValue, Response, StatusCode, header, request};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// How long the server may take to answer. The server itself answers 503 after ten seconds.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

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
        let url = self.url(environment)?;
        let mut request = request.body(body.into()).context("the request")?;
        if let Some(token) = self.token(environment)? {
            let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
            let mut bearer = bearer.context("the admin token can't be sent in a header")?;
            bearer.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, bearer);
        }
        let answer = block_on(http_client::send(url.peer(), request, ANSWER_LIMIT))?;
        checked(&url, answer.context("the admin API does not answer")?)
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
    match Some(&answer).filter(|_| content_type == Some(b"application/problem+json")).and_then(problem) {
        Some(problem) if status == StatusCode::UNAUTHORIZED => bail!("{problem}; {TOKEN_REMEDY}"),
        Some(problem) => bail!(problem),
        None => bail!("{url}: this is not an admin API: it answered {status}; {NO_ADMIN}"),
    }
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
