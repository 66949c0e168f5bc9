//! `verify`: checks how often the server was asked for a path, and waits for it.

use super::client::AdminApi;
use crate::cli::usage_error::UsageError;
use crate::cli::values::{duration, number};
use anyhow::bail;
use clap::Args;
use gce_metadata_server::Environment;
use http::{Request, header};
use serde_json::{Map, Value, json};
use std::time::Duration;

const NOTES: &str = "\
Examples:
  gce-metadata-server verify --path instance/preempted --within 5s
  gce-metadata-server verify --path 'instance/service-accounts/*/token' --at-most 1
  gce-metadata-server verify --path instance/id --header 'Metadata-Flavor: Google' --exactly 2

Exit status:
  0  the number of requests is the expected one
  1  it is not, or the admin API did not answer
  2  the command line is wrong";

/// Check that the server received the expected requests
///
/// Without a number, at least one request is expected.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Verify {
    /// Only requests for this path, such as instance/service-accounts/*/token; * is any name
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Only requests with this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// Only requests with this query parameter, decoded; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    query: Vec<(String, String)>,

    /// Only requests with this header; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// Expect this number of requests or more [default: 1]
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    at_least: Option<u64>,

    /// Expect this number of requests or fewer
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    at_most: Option<u64>,

    /// Expect this number of requests
    #[arg(long, value_name = "N", value_parser = number::<u64>, conflicts_with_all = ["at_least", "at_most"])]
    exactly: Option<u64>,

    /// Wait up to this time, at most 60s, until the number is reached; --at-most alone waits for the whole time
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "0s", hide_default_value = true)]
    within: Duration,

    #[command(flatten)]
    api: AdminApi,
}

/// The longest time that the admin API waits.
const MAX_WAIT: Duration = Duration::from_secs(60);

impl Verify {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        if self.within > MAX_WAIT {
            return Err(UsageError("--within: at most 60 seconds are possible".to_owned()).into());
        }
        if self.at_most.is_some_and(|at_most| at_most < self.at_least.unwrap_or_default()) {
            return Err(UsageError("--at-most is smaller than --at-least".to_owned()).into());
        }
        let request = Request::post("/__admin/requests/verify").header(header::CONTENT_TYPE, "application/json");
        match self.api.check(environment, request, self.body()?.to_string(), self.within)? {
            Ok(()) => Ok(()),
            Err(problem) => bail!(unmet(&problem)),
        }
    }

    fn body(&self) -> anyhow::Result<Value> {
        let mut request = Map::new();
        if let Some(path) = &self.path {
            request.insert("path".to_owned(), path.as_str().into());
        }
        if let Some(method) = &self.method {
            request.insert("method".to_owned(), method.as_str().into());
        }
        for (member, option, pairs) in
            [("queryParameters", "--query", &self.query), ("headers", "--header", &self.header)]
        {
            if !pairs.is_empty() {
                request.insert(member.to_owned(), conditions(option, pairs)?.into());
            }
        }
        let at_least = match (self.at_least, self.at_most) {
            (None, Some(_)) => 0,
            (at_least, _) => at_least.unwrap_or(1),
        };
        let mut times = json!({"atLeast": self.exactly.unwrap_or(at_least)});
        if let Some(at_most) = self.exactly.or(self.at_most) {
            times["atMost"] = at_most.into();
        }
        let timeout = u64::try_from(self.within.as_millis())?;
        Ok(json!({"request": request, "times": times, "timeout": timeout}))
    }
}

/// A condition for each name. A pattern can't have two for one name.
fn conditions(option: &str, pairs: &[(String, String)]) -> Result<Map<String, Value>, UsageError> {
    let mut conditions = Map::new();
    for (name, value) in pairs {
        if conditions.insert(name.clone(), json!({"equalTo": value})).is_some() {
            return Err(UsageError(format!("{option}: {name} is given twice")));
        }
    }
    Ok(conditions)
}

/// The expectation, the number of requests, the nearest other requests, and the nearest keys.
fn unmet(problem: &Value) -> String {
    let mut text = problem["detail"].as_str().unwrap_or("the expectation does not hold").to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let near = list(&problem["nearMisses"]);
    if !near.is_empty() {
        text.push_str("; the nearest other requests are:");
    }
    for request in near.iter().map(|miss| &miss["request"]) {
        let word = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        text.push_str(&format!("\n  {} {}", word("method"), word("url")));
    }
    let keys = list(&problem["metadataServer"]["nearestKeys"]);
    if !keys.is_empty() {
        let keys: Vec<_> = keys.iter().filter_map(Value::as_str).collect();
        text.push_str(&format!("\nthe metadata has no such key; the nearest keys are {}", keys.join(", ")));
    }
    text
}

fn parameter(text: &str) -> Result<(String, String), String> {
    pair(text, '=').ok_or_else(|| "a parameter is NAME=VALUE, such as audience=https://example.com".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    pair(text, ':').ok_or_else(|| "a header is 'NAME: VALUE', such as 'Metadata-Flavor: Google'".to_owned())
}

fn pair(text: &str, separator: char) -> Option<(String, String)> {
    let (name, value) = text.split_once(separator)?;
    let value = if separator == ':' { value.trim() } else { value };
    Some((name.to_owned(), value.to_owned())).filter(|(name, _)| !name.is_empty())
}
