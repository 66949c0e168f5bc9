//! Runs the conformance tables in `tests/conformance`: each case is a request and the answer that GCE gives.

use crate::support::{Answer, Client, dump, repository, request};
use gce_metadata_server::{ConfigDocument, NoMaintenance, Server};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    /// How to start the server, where the defaults do not fit.
    #[serde(default)]
    server: Setup,
    case: Vec<Case>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Setup {
    /// A config file of this repository, instead of the dump.
    config: Option<String>,
    /// A JSON merge patch, applied to the metadata after the start.
    patch: Option<String>,
    #[serde(default)]
    legacy_endpoints: bool,
    /// The answer of `instance/upcoming-maintenance` while no maintenance is planned.
    no_maintenance: Option<String>,
}

impl Setup {
    async fn start(&self) -> Server {
        let config = self.config.as_ref().map(|file| std::fs::read_to_string(repository(file)).unwrap());
        let json = serde_json::from_str(&config.unwrap_or_else(dump)).unwrap();
        let builder = Server::builder().metadata(ConfigDocument::from_json(json).unwrap().metadata);
        let builder = if self.legacy_endpoints { builder.enable_legacy_endpoints() } else { builder };
        let builder = match self.no_maintenance.as_deref() {
            Some("object") => builder.no_maintenance(NoMaintenance::Object),
            Some("unavailable") => builder.no_maintenance(NoMaintenance::Unavailable),
            Some(other) => panic!("{other}"),
            None => builder,
        };
        let server = builder.start().await.unwrap();
        if let Some(patch) = &self.patch {
            server.publisher().merge("", serde_json::from_str::<Value>(patch).unwrap()).unwrap();
        }
        server
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: Option<String>,
    path: String,
    #[serde(default = "get")]
    method: String,
    /// Whether to send `Metadata-Flavor: Google`.
    #[serde(default = "yes")]
    flavor: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default = "metadata_google_internal")]
    host: String,
    #[serde(default)]
    send: String,
    #[serde(default = "ok")]
    status: u16,
    r#type: Option<String>,
    body: Option<String>,
    #[serde(default)]
    contains: Vec<String>,
    location: Option<String>,
    /// The expected `Content-Length` of a response without a body (HEAD).
    length: Option<usize>,
    /// Whether the connection is closed after the response.
    #[serde(default)]
    close: bool,
    /// Whether the response has an entity tag; by default it has if its status is 200.
    etag: Option<bool>,
}

fn get() -> String {
    "GET".into()
}

fn yes() -> bool {
    true
}

fn ok() -> u16 {
    200
}

fn metadata_google_internal() -> String {
    "metadata.google.internal".into()
}

/// The headers that every response may have. Beyond these only `Location` on redirects, `ETag`, and `Connection` on a response
/// after which the connection is closed, are allowed.
const ALWAYS: [&str; 7] =
    ["content-length", "content-type", "date", "metadata-flavor", "server", "x-frame-options", "x-xss-protection"];

impl Case {
    async fn ask(&self, client: &mut Client) -> Answer {
        let mut builder = request(&self.method, &self.path, &[("host", &self.host)]);
        if self.flavor {
            builder = builder.header("Metadata-Flavor", "Google");
        }
        for (name, value) in &self.headers {
            builder = builder.header(name, value);
        }
        client.send(builder, &self.send).await
    }

    fn check(&self, answer: &Answer) -> Result<(), String> {
        let same = |what: &str, got: &dyn PartialEqDebug, wanted: &dyn PartialEqDebug| {
            (got.text() == wanted.text()).then_some(()).ok_or(format!(
                "{what}: {} instead of {}",
                got.text(),
                wanted.text()
            ))
        };
        same("status", &answer.status.as_u16(), &self.status)?;
        if let Some(wanted) = &self.r#type {
            same("Content-Type", &answer.header("content-type"), &Some(wanted.as_str()))?;
        }
        same("Location", &answer.header("location"), &self.location.as_deref())?;
        if let Some(wanted) = &self.body {
            same("body", &answer.body, wanted)?;
        }
        for wanted in &self.contains {
            answer.body.contains(wanted).then_some(()).ok_or(format!("body lacks {wanted:?}: {:?}", answer.body))?;
        }
        let length = self.length.unwrap_or(answer.body.len());
        if self.method != "HEAD" || self.length.is_some() {
            same("Content-Length", &answer.header("content-length"), &Some(length.to_string().as_str()))?;
        }

        let tagged = self.etag.unwrap_or(self.status == 200);
        same("has an ETag", &answer.header("etag").is_some(), &tagged)?;
        let is_tag = |tag: &str| tag.len() == 16 && tag.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if let Some(tag) = answer.header("etag") {
            is_tag(tag).then_some(()).ok_or(format!("ETag: {tag}"))?;
        }

        let mut wanted: Vec<_> = ALWAYS.to_vec();
        wanted.extend(tagged.then_some("etag"));
        wanted.extend(self.location.as_ref().map(|_| "location"));
        wanted.extend(self.close.then_some("connection"));
        wanted.sort_unstable();
        let mut names: Vec<_> = answer.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        same("headers", &names, &wanted)?;
        same("Connection", &answer.header("connection"), &self.close.then_some("close"))?;
        same("Metadata-Flavor", &answer.header("metadata-flavor"), &Some("Google"))?;
        same("Server", &answer.header("server"), &Some("Metadata Server for VM"))?;
        same("X-XSS-Protection", &answer.header("x-xss-protection"), &Some("0"))?;
        same("X-Frame-Options", &answer.header("x-frame-options"), &Some("SAMEORIGIN"))
    }
}

/// Compares two values by their Debug output, so that values of different types can share one check.
trait PartialEqDebug {
    fn text(&self) -> String;
}

impl<T: std::fmt::Debug> PartialEqDebug for T {
    fn text(&self) -> String {
        format!("{self:?}")
    }
}

async fn table(name: &str) {
    let file = repository("tests/conformance").join(name);
    let table: Table = toml::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let server = table.server.start().await;
    let mut client = Client::connect(&server).await;
    let mut failures = Vec::new();
    for case in &table.case {
        let answer = case.ask(&mut client).await;
        if case.close {
            assert!(
                client.try_get("instance/id").await.is_err(),
                "{} {}: the connection is open",
                case.method,
                case.path
            );
            client = Client::connect(&server).await;
        }
        let again = case.ask(&mut client).await;
        if case.close {
            client = Client::connect(&server).await;
        }
        let checked = case.check(&answer).and_then(|()| match answer.header("etag") == again.header("etag") {
            true => Ok(()),
            false => Err("ETag: differs for the same value".into()),
        });
        if let Err(difference) = checked {
            let why = case.why.as_deref().unwrap_or_default();
            failures.push(format!("{} {} ({why})\n    {difference}", case.method, case.path));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(table.case.len() > 2, "{name} has too few cases");
}

/// Generates a test for each of these tables.
macro_rules! tables {
    ($($name:ident),* $(,)?) => {
        const TABLES: &[&str] = &[$(concat!(stringify!($name), ".toml")),*];

        $(#[tokio::test]
        async fn $name() {
            table(concat!(stringify!($name), ".toml")).await;
        })*
    };
}

tables! {
    accounts,
    forms,
    guest_attributes,
    guest_attributes_off,
    host_events,
    legacy,
    legacy_off,
    maintenance_words,
    network,
    no_maintenance,
    no_maintenance_object,
    no_scopes,
    oslogin,
    paths,
    refusals,
    smallest,
    workload,
}

#[test]
fn every_conformance_table_has_a_test() {
    let files = std::fs::read_dir(repository("tests/conformance")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut tables: Vec<_> = names.filter(|name| name.ends_with(".toml")).collect();
    tables.sort_unstable();
    assert_eq!(tables, TABLES, "list each table in `tables!`, alphabetically");
}
