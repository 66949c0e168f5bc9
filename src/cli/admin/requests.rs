//! `requests`: the journal as lines, or the number of its requests.

use super::client::{AdminApi, json};
use super::{Format, print, request_line};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap::Args;
use gce_metadata_server::Environment;
use http::{Request, request};
use serde_json::Value;
use std::io::{self, Write};

const NOTES: &str = "\
Examples:
  gce-metadata-server requests --unmatched
  gce-metadata-server requests --follow --path 'instance/service-accounts/*/token'
  gce-metadata-server requests --count --path instance/preempted

Exit status:
  0  done
  1  the admin API did not answer, or the server keeps no journal
  2  the command line is wrong";

/// The prefix of a path without a slash at its beginning.
const V1: &str = "/computeMetadata/v1/";

/// Print the requests that the server received, the oldest first
///
/// The server keeps the last 1000 requests, or --journal-entries.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Requests {
    /// Go on with each new request, until the server stops
    #[arg(long)]
    follow: bool,

    /// Only requests whose path names nothing: the keys that the config lacks
    #[arg(long)]
    unmatched: bool,

    /// Only requests for this path, such as instance/service-accounts/*/token; * is any name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Print only the number of requests
    #[arg(long, conflicts_with = "follow")]
    count: bool,

    /// Format of the output: text is a line per request; json is an entry of the journal per line
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

impl Requests {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        if self.follow {
            return self.follow(environment);
        }
        let answer = json(&self.api.send(environment, self.list(), Bytes::new())?)?;
        if answer["requestJournalDisabled"] == true {
            bail!("the server keeps no journal: start it without --journal-entries 0");
        }
        let newest_first = answer["requests"].as_array().map_or(&[][..], Vec::as_slice);
        let wanted = newest_first.iter().rev().filter(|event| self.is_wanted(event));
        match self.count {
            true => print(&format!("{}\n", wanted.count())),
            false => print(&wanted.map(|event| self.line(event)).collect::<String>()),
        }
    }

    fn list(&self) -> request::Builder {
        Request::get(if self.unmatched { "/__admin/requests?unmatched=true" } else { "/__admin/requests" })
    }

    /// Prints the requests of the journal and later ones.
    fn follow(&self, environment: &Environment) -> anyhow::Result<()> {
        // The events after the number 0 are those of the whole journal.
        let request = Request::get("/__admin/events?types=request").header("last-event-id", "0");
        self.api.follow(environment, request, |kind, data| {
            let event: Value = serde_json::from_str(data).context("an event of the admin API is not JSON")?;
            match kind {
                "request" if self.is_wanted(&event) => print(&self.line(&event)),
                "gap" => {
                    // Not an error: the server does not wait for slow readers.
                    let _ = writeln!(io::stderr(), "warning: {} events are missing here", event["count"]);
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }

    fn line(&self, event: &Value) -> String {
        match self.format {
            Format::Text => request_line::text(event),
            Format::Json => format!("{event}\n"),
        }
    }

    fn is_wanted(&self, event: &Value) -> bool {
        let is_on_path = |path: &String| event["request"]["url"].as_str().is_some_and(|url| names(path, url));
        !(self.unmatched && event["wasMatched"] == true) && self.path.as_ref().is_none_or(is_on_path)
    }
}

/// Whether a path of the command line is that of a URL. Runs of slashes count as one, and a slash at the end does not matter.
fn names(path: &str, url: &str) -> bool {
    let prefix = if path.starts_with('/') { "" } else { V1 };
    let path = format!("{prefix}{path}");
    let segments =
        |text: &'_ str| text.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let (expected, asked) = (segments(&path), segments(url.split('?').next().unwrap_or_default()));
    let is_same = |(expected, asked): (&String, &String)| expected == "*" || expected == asked;
    expected.len() == asked.len() && expected.iter().zip(&asked).all(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_urls_with_any_query_and_a_star_is_one_name() {
        let token = "/computeMetadata/v1/instance/service-accounts/default/token?scopes=a/b";
        for (path, url, expected) in [
            ("instance/service-accounts/*/token", token, true),
            ("instance/service-accounts/default/token/", token, true),
            ("instance/service-accounts/*", token, false),
            ("instance/*/token", token, false),
            ("instance", "/computeMetadata/v1//instance/", true),
            ("/computeMetadata/v1/instance", "/computeMetadata/v1/instance/?recursive=true", true),
            ("/instance", "/computeMetadata/v1/instance/", false),
        ] {
            assert_eq!(names(path, url), expected, "{path} {url}");
        }
    }
}
