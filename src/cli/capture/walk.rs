//! Asks for all metadata: recursion first, then each listing, each leaf, and the directories that recursion leaves out.

use crate::cli::http_client::{self, FLAVOR, NoAnswer};
use crate::cli::target::Target;
use anyhow::bail;
use bytes::Bytes;
use gce_metadata_server::routes::{Dump, V1};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Recursion over all metadata.
pub(super) const RECURSION: &str = "?recursive=true";

/// Guests may ask for guest attributes ten times a minute, so one recursive request reads them, and none of their leaves is asked for.
const GUEST_ATTRIBUTES: &str = "instance/guest-attributes/";

/// Paths that GCE serves without listing them.
const UNLISTED: [&str; 12] = [
    "instance/identity-configuration/identity-uuid",
    "instance/maintenance-event",
    "instance/platform-security/auto-mtls-configuration",
    "instance/preempted",
    "instance/shutdown-details/max-duration",
    "instance/shutdown-details/request-timestamp",
    "instance/shutdown-details/stop-state",
    "instance/shutdown-details/target-state",
    "instance/tags",
    "instance/upcoming-maintenance",
    "instance/virtual-clock/drift-token",
    "universe/universe-domain",
];

/// A large VM has less than 1,000 entries. The limit ends the walk through listings that never end.
const MAX_REQUESTS: usize = 20_000;

const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The pause before a request is repeated: GCE answers 503 while it migrates a VM, usually for less than a second.
const PAUSE: Duration = Duration::from_secs(1);

/// A response with its whole body.
pub(super) type Answer = http::Response<Bytes>;

/// A client of one server.
pub(super) struct Client {
    target: Target,
}

impl Client {
    pub(super) fn new(target: Target) -> Self {
        Self { target }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// GET of a path below `/computeMetadata/v1/`.
    pub(super) async fn ask(&self, path: &str) -> Result<Answer, NoAnswer> {
        let path = format!("{V1}/{path}");
        let answer = self.get(&path, [FLAVOR]).await?;
        if !matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return Ok(answer);
        }
        tokio::time::sleep(PAUSE).await;
        self.get(&path, [FLAVOR]).await
    }

    /// GET of a whole path, with these headers.
    pub(super) async fn get(
        &self,
        path: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Result<Answer, NoAnswer> {
        http_client::get(&self.target, path, headers, TIME_LIMIT).await
    }

    /// A long poll of all metadata: is answered when they no longer have this entity tag, or when this time, in whole seconds, is over.
    pub(super) async fn wait(&self, tag: &str, time: Duration) -> Result<Answer, NoAnswer> {
        let query = format!("wait_for_change=true&last_etag={tag}&timeout_sec={}", time.as_secs());
        http_client::get(&self.target, &format!("{V1}/{RECURSION}&{query}"), [FLAVOR], time + TIME_LIMIT).await
    }
}

/// The answers of a server, and the values in them.
pub(super) struct Captured {
    /// Recursion, and the values that recursion left out.
    pub(super) dump: Dump,
    /// The answers by path below `/computeMetadata/v1/`, with the query.
    pub(super) answers: BTreeMap<String, Answer>,
    /// The values of paths that no listing has.
    pub(super) unlisted: Vec<(String, Value)>,
    /// Lines for standard error: values that the config lacks, and requests without an answer.
    pub(super) notes: Vec<String>,
}

/// Asks for all metadata but tokens.
pub(super) async fn walk(client: &Client, recursion: Answer) -> anyhow::Result<Captured> {
    let captured = Captured {
        dump: Dump::new(metadata(client, &recursion)?),
        answers: BTreeMap::from([(RECURSION.to_owned(), recursion)]),
        unlisted: Vec::new(),
        notes: Vec::new(),
    };
    let mut walk = Walk { client, captured };
    let mut directories = vec![String::new()];
    while let Some(directory) = directories.pop() {
        directories.extend(walk.directory(&directory).await);
    }
    for path in UNLISTED {
        walk.unlisted(path).await;
    }
    if walk.captured.answers.len() >= MAX_REQUESTS {
        walk.captured.notes.push(format!("stopped after {MAX_REQUESTS} requests: the rest is missing"));
    }
    Ok(walk.captured)
}

/// The JSON object of recursion over all metadata.
///
/// # Errors
/// If the answer is not that of a metadata server.
pub(super) fn metadata(client: &Client, recursion: &Answer) -> anyhow::Result<Value> {
    let server = client.target();
    if !is_metadata(recursion.headers()) {
        bail!("http://{server} is not a metadata server: its answer has no `Metadata-Flavor: Google`");
    }
    let metadata = serde_json::from_slice(recursion.body()).ok().filter(Value::is_object);
    let Some(metadata) = metadata.filter(|_| recursion.status() == StatusCode::OK) else {
        bail!("http://{server}{V1}/{RECURSION} is answered {}, not with a JSON object", recursion.status());
    };
    Ok(metadata)
}

struct Walk<'a> {
    client: &'a Client,
    captured: Captured,
}

impl Walk<'_> {
    /// Asks for a listing and its leaves. Returns its directories.
    async fn directory(&mut self, directory: &str) -> Vec<String> {
        let Some(listing) = self.ask(directory).await else { return Vec::new() };
        let names = String::from_utf8_lossy(listing.body()).into_owned();
        if self.is_left_out(directory, &names) {
            let recursion = format!("{directory}{RECURSION}");
            self.insert(directory, &recursion).await;
        }
        let is_leaf_asked = !directory.starts_with(GUEST_ATTRIBUTES);
        let mut below = Vec::new();
        for name in names.lines().filter(|name| !name.trim_matches('/').is_empty()) {
            let path = format!("{directory}{name}");
            if name.ends_with('/') && is_leaf_asked {
                below.push(path);
            } else if is_leaf_asked && !is_token(&path) {
                self.leaf(&path).await;
            }
        }
        below
    }

    /// Whether a directory that is not empty is missing or empty in recursion.
    fn is_left_out(&self, directory: &str, names: &str) -> bool {
        let is_empty = match self.captured.dump.get(directory) {
            Some(Value::Object(object)) => object.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
            None => true,
        };
        is_empty && !names.is_empty()
    }

    async fn leaf(&mut self, path: &str) {
        if self.ask(path).await.is_some() && self.captured.dump.get(path).is_none() {
            self.insert(path, &format!("{path}?alt=json")).await;
        }
    }

    /// Inserts the JSON of a query at a path of the dump.
    async fn insert(&mut self, path: &str, query: &str) {
        let Some(json) = self.ask(query).await else { return };
        let inserted =
            serde_json::from_slice(json.body()).is_ok_and(|value: Value| self.captured.dump.insert(path, value));
        if !inserted {
            self.captured.notes.push(format!("{path}: recursion leaves this out, and a config has no place for it"));
        }
    }

    async fn unlisted(&mut self, path: &str) {
        if self.captured.answers.contains_key(path) || self.ask(path).await.is_none() {
            return;
        }
        let json = self.ask(&format!("{path}?alt=json")).await;
        if let Some(Ok(value)) = json.map(|json| serde_json::from_slice(json.body())) {
            self.captured.unlisted.push((path.to_owned(), value));
        }
    }

    /// Sends a request and keeps the answer. `None` unless the status is 200.
    async fn ask(&mut self, path: &str) -> Option<Answer> {
        if self.captured.answers.len() >= MAX_REQUESTS {
            return None;
        }
        match self.client.ask(path).await {
            Ok(answer) => {
                self.captured.answers.insert(path.to_owned(), answer.clone());
                Some(answer).filter(|answer| answer.status() == StatusCode::OK)
            }
            Err(error) => {
                self.captured.notes.push(format!("{path}: {error}"));
                None
            }
        }
    }
}

/// Whether a path names a token, for which no request is sent.
fn is_token(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("token" | "identity"))
}

fn is_metadata(headers: &HeaderMap) -> bool {
    headers.get(&FLAVOR.0) == Some(&FLAVOR.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_known_by_the_last_segment() {
        for path in ["instance/service-accounts/default/token", "instance/service-accounts/a@b/identity"] {
            assert!(is_token(path), "{path}");
        }
        for path in ["instance/service-accounts/default/email", "instance/identity-configuration/identity-uuid"] {
            assert!(!is_token(path), "{path}");
        }
    }
}
