//! `token status`, `token set`, `token clear` and `token rotate`: the tokens of accounts. No command prints a token or takes one from
//! the command line, which other users of the machine can see.

use super::client::{AdminApi, EXIT_STATUS, json};
use super::{Format, print, print_json, token_status};
use crate::cli::file::{self, STDIN};
use crate::cli::usage_error::UsageError;
use crate::cli::values::whole_seconds;
use anyhow::Context;
use bytes::Bytes;
use clap::{ArgGroup, Args, ValueEnum};
use gce_metadata_server::Environment;
use http::{Request, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

const SET_NOTES: &str = "\
Examples:
  gcloud auth print-access-token | gce-metadata-server token set default --access-token-file - --expires-in 60s
  gce-metadata-server token set default --lifetime 30s --skew=-10 --reuse false

Exit status:
  0  done
  1  the admin API refused the change, or did not answer
  2  the command line is wrong";

/// Print the state of tokens: source, given and cached tokens with their expiry, and the last error
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct TokenStatus {
    /// E-mail or alias of the account [default: all accounts]
    account: Option<String>,

    /// Format of the output
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

/// Serve given tokens, or change how the offline issuer makes tokens
#[derive(Debug, Args)]
#[command(
    after_help = SET_NOTES,
    group = ArgGroup::new("tokens").multiple(true),
    group = ArgGroup::new("change").multiple(true).required(true)
)]
pub(crate) struct TokenSet {
    /// E-mail or alias of the account
    account: String,

    /// File of the access token to serve; - reads standard input
    #[arg(long, value_name = "FILE", groups = ["tokens", "change"])]
    access_token_file: Option<PathBuf>,

    /// Time until the access token ends, in seconds or with a unit: 60s, 5m [default: 1h]
    #[arg(long, value_name = "SECONDS", value_parser = whole_seconds, requires = "access_token_file")]
    expires_in: Option<Duration>,

    /// File of the identity token to serve; - reads standard input
    #[arg(long, value_name = "FILE", groups = ["tokens", "change"])]
    id_token_file: Option<PathBuf>,

    /// Answer after the given token has ended [default: source]
    #[arg(long, value_name = "ANSWER", requires = "tokens")]
    then: Option<Then>,

    /// Lifetime of tokens that the offline issuer makes, in seconds or with a unit
    #[arg(long, value_name = "SECONDS", value_parser = whole_seconds, group = "change")]
    lifetime: Option<Duration>,

    /// Seconds by which the stated lifetime of an offline access token is larger than the true one; a negative number makes clients
    /// refresh early
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, group = "change")]
    skew: Option<i64>,

    /// Whether the offline issuer answers with a cached token while it is valid
    #[arg(long, value_name = "true|false", hide_possible_values = true, group = "change")]
    reuse: Option<bool>,

    #[command(flatten)]
    api: AdminApi,
}

/// Serve the tokens of the account's source again
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct TokenClear {
    /// E-mail or alias of the account
    account: String,

    #[command(flatten)]
    api: AdminApi,
}

/// Evict cached tokens, so that the next answer is a new token
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct TokenRotate {
    /// E-mail or alias of the account
    account: String,

    #[command(flatten)]
    api: AdminApi,
}

/// The answer after a given token has ended.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Then {
    /// A token of the account's source
    Source,
    /// 503
    Unavailable,
}

/// The body of a request. It has no `Debug`, because it contains tokens.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<Then>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skew: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reuse: Option<bool>,
}

impl TokenStatus {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let path = self.account.as_deref().map_or_else(|| "/__admin/tokens".to_owned(), url);
        let status = json(&self.api.send(environment, Request::get(path), Bytes::new())?)?;
        match self.format {
            Format::Json => print_json(&status),
            Format::Text => print(&token_status::text(&status)),
        }
    }
}

impl TokenSet {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let is_stdin = |path: &Option<PathBuf>| path.as_deref() == Some(Path::new(STDIN));
        if is_stdin(&self.access_token_file) && is_stdin(&self.id_token_file) {
            let problem = "--access-token-file and --id-token-file: standard input is one token, not two";
            return Err(UsageError(problem.to_owned()).into());
        }
        let access_token = read("--access-token-file", self.access_token_file.as_deref())?;
        let id_token = read("--id-token-file", self.id_token_file.as_deref())?;
        let document = Document {
            access_token: access_token.as_ref().map(|token| token.trim()),
            expires_in: self.expires_in.map(|duration| duration.as_secs()),
            id_token: id_token.as_ref().map(|token| token.trim()),
            then: self.then,
            lifetime: self.lifetime.map(|duration| duration.as_secs()),
            skew: self.skew,
            reuse: self.reuse,
        };
        let request = Request::put(url(&self.account)).header(header::CONTENT_TYPE, "application/json");
        self.api.send(environment, request, serde_json::to_vec(&document)?)?;
        Ok(())
    }
}

impl TokenClear {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        self.api.send(environment, Request::delete(url(&self.account)), Bytes::new())?;
        Ok(())
    }
}

impl TokenRotate {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let path = format!("{}/rotate", url(&self.account));
        self.api.send(environment, Request::post(path), Bytes::new())?;
        Ok(())
    }
}

/// The path of an account in the admin API.
fn url(account: &str) -> String {
    format!("/__admin/tokens/{}", utf8_percent_encode(account, NON_ALPHANUMERIC))
}

fn read(option: &str, path: Option<&Path>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let read = |path: &Path| file::read_or_stdin(path).with_context(|| format!("{option} {}", path.display()));
    path.map(read).transpose()
}
