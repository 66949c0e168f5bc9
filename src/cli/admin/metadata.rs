//! `get`, `set`, `patch` and `unset`: values of the metadata.

use super::client::{AdminApi, EXIT_STATUS, json};
use super::{Format, print, print_json};
use crate::cli::file::STDIN;
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use gce_metadata_server::Environment;
use http::{HeaderValue, Request, Response, header, request};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use std::io::{self, Read};

const METADATA: &str = "/__admin/metadata";

/// The prefix of the guests' paths.
const V1: &str = "computeMetadata/v1";

/// The largest value, as in the admin API.
const MAX_BYTES: u64 = 4 << 20;

/// The characters of a path that are not percent-encoded.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const GET_NOTES: &str = "\
Examples:
  gce-metadata-server get instance/maintenance-event
  gce-metadata-server get instance/attributes/ --format json

Exit status:
  0  done
  1  the metadata has no such value, or the admin API did not answer
  2  the command line is wrong";

const SET_NOTES: &str = "\
Examples:
  gce-metadata-server set instance/preempted TRUE
  gce-metadata-server set --json instance/tags '[\"http-server\"]'
  gce-metadata-server set instance/attributes/startup-script - < startup.sh

Exit status:
  0  done
  1  the admin API refused the change, or did not answer
  2  the command line is wrong";

const PATCH_NOTES: &str = "\
Examples:
  gce-metadata-server patch instance '{\"preempted\": \"TRUE\", \"attributes\": {\"foo\": null}}'
  gce-metadata-server patch - < patch.json

Exit status:
  0  done
  1  the admin API refused the change, or did not answer
  2  the command line is wrong";

/// Print a value of the metadata: a string as text, other values as JSON
#[derive(Debug, Args)]
#[command(after_help = GET_NOTES)]
pub(crate) struct Get {
    /// Path, such as instance/attributes/foo [default: the whole config]
    #[arg(default_value = "", hide_default_value = true)]
    path: String,

    /// Format of the output; json has the members value, etag and generation
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

/// Set a value of the metadata; waiting clients get the new value
#[derive(Debug, Args)]
#[command(after_help = SET_NOTES)]
pub(crate) struct Set {
    /// Path, such as instance/attributes/foo; / replaces the whole config
    path: String,

    /// The value: a string, or JSON with --json; - reads standard input
    #[arg(allow_negative_numbers = true)]
    value: String,

    /// The value is JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    edit: Edit,
}

/// Change several values at once by a JSON merge patch
///
/// The patch has the form of RFC 7396: null removes a key.
#[derive(Debug, Args)]
#[command(after_help = PATCH_NOTES, allow_missing_positional = true)]
pub(crate) struct Patch {
    /// Path of the directory to patch [default: the whole config]
    path: Option<String>,

    /// The patch; - reads standard input
    #[arg(value_name = "JSON")]
    patch: String,

    #[command(flatten)]
    edit: Edit,
}

/// Remove a value or directory of the metadata
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Unset {
    /// Path, such as instance/attributes/foo
    path: String,

    #[command(flatten)]
    edit: Edit,
}

/// The options of changes.
#[derive(Debug, Args)]
struct Edit {
    /// Change the value only if it has this entity tag, as `get --format json` prints; * is any value that exists
    #[arg(long, value_name = "TAG", value_parser = entity_tag)]
    if_match: Option<HeaderValue>,

    /// Format of the output: text prints nothing; json prints the new value, etag and generation
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

impl Get {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let answer = self.api.send(environment, Request::get(url(&self.path)), Bytes::new())?;
        if self.format == Format::Json {
            return print_json(&with_version(&answer)?);
        }
        match json(&answer)? {
            Value::String(text) => print(&format!("{text}\n")),
            value => print_json(&value),
        }
    }
}

impl Set {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let value = value_or_stdin(&self.value)?;
        let media_type = if self.json { "application/json" } else { "text/plain" };
        if self.json {
            check_json(&value).context("the value is not JSON; leave out --json for a string")?;
        }
        self.edit.send(environment, Request::put(url(&self.path)), media_type, value)
    }
}

impl Patch {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let patch = value_or_stdin(&self.patch)?;
        check_json(&patch).context("the patch is not JSON")?;
        let request = Request::patch(url(self.path.as_deref().unwrap_or_default()));
        self.edit.send(environment, request, "application/merge-patch+json", patch)
    }
}

impl Unset {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        self.edit.send(environment, Request::delete(url(&self.path)), "text/plain", String::new())
    }
}

impl Edit {
    fn send(
        &self,
        environment: &Environment,
        mut request: request::Builder,
        media_type: &str,
        body: String,
    ) -> anyhow::Result<()> {
        if let Some(tag) = &self.if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        if self.format == Format::Json {
            request = request.header("prefer", "return=representation");
        }
        let answer = self.api.send(environment, request.header(header::CONTENT_TYPE, media_type), body)?;
        match self.format {
            Format::Json => print_json(&with_version(&answer)?),
            Format::Text => Ok(()),
        }
    }
}

/// The path of the admin API for a path of the metadata. Slashes around it, and the prefix of the guests' paths, are ignored.
fn url(path: &str) -> String {
    let path = path.trim_matches('/');
    let path = path.strip_prefix(V1).filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path);
    match utf8_percent_encode(path.trim_matches('/'), UNRESERVED).to_string() {
        root if root.is_empty() => METADATA.to_owned(),
        path => format!("{METADATA}/{path}"),
    }
}

/// The value, the entity tag and the generation of an answer. An answer to a removal has none of them.
fn with_version(answer: &Response<Bytes>) -> anyhow::Result<Value> {
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let value = if answer.body().is_empty() { None } else { Some(json(answer)?) };
    let members = [
        ("value", value),
        ("etag", text("etag").map(|tag| tag.trim_matches('"').into())),
        ("generation", text("metadata-generation").and_then(|text| text.parse::<u64>().ok()).map(Value::from)),
    ];
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok(present.collect::<Map<_, _>>().into())
}

/// An entity tag, with or without its quotes, as the header `If-Match`.
fn entity_tag(tag: &str) -> Result<HeaderValue, String> {
    let bare = tag.trim_matches('"');
    let is_valid = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    let quoted = if bare == "*" { bare.to_owned() } else { format!("\"{bare}\"") };
    let header = HeaderValue::try_from(quoted).ok().filter(|_| is_valid);
    header.ok_or_else(|| "an entity tag is that of `get --format json`, or *".to_owned())
}

/// The argument, or standard input if the argument is `-`.
fn value_or_stdin(argument: &str) -> anyhow::Result<String> {
    if argument != STDIN {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    io::stdin().take(MAX_BYTES + 1).read_to_string(&mut text).context("can't read the value from standard input")?;
    if text.len() as u64 > MAX_BYTES {
        bail!("standard input has more than 4 MiB, the limit for a value");
    }
    Ok(text)
}

fn check_json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_guests_and_percent_encoded() {
        for (path, expected) in [
            ("", "/__admin/metadata"),
            ("/", "/__admin/metadata"),
            ("/computeMetadata/v1/", "/__admin/metadata"),
            ("instance/attributes/", "/__admin/metadata/instance/attributes"),
            ("/computeMetadata/v1/instance/id", "/__admin/metadata/instance/id"),
            ("instance/attributes/a b?c#%\u{e9}", "/__admin/metadata/instance/attributes/a%20b%3Fc%23%25%C3%A9"),
        ] {
            assert_eq!(url(path), expected, "{path}");
        }
    }

    #[test]
    fn an_entity_tag_may_be_without_quotes() {
        for (tag, expected) in [("0a", "\"0a\""), ("\"0a\"", "\"0a\""), ("*", "*")] {
            assert_eq!(entity_tag(tag).unwrap(), expected);
        }
        for tag in ["", "\"\"", "a b", "a\", \"b"] {
            assert!(entity_tag(tag).is_err(), "{tag}");
        }
    }
}
