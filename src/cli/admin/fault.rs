//! `fault add`, `fault list` and `fault remove`: the faults of a running server.

use super::client::{AdminApi, EXIT_STATUS, json};
use super::{Format, print, print_json};
use crate::cli::file;
use crate::cli::options::instruction_words;
use crate::cli::values::{duration, header, number, positive};
use anyhow::Context;
use bytes::Bytes;
use clap::{ArgGroup, Args, Subcommand};
use gce_metadata_server::Environment;
use http::{Request, header::CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;

const ADD_NOTES: &str = "\
Examples:
  gce-metadata-server fault add --path 'instance/service-accounts/*/token' --status 503 --times 2
  gce-metadata-server fault add --latency 2s
  gce-metadata-server fault add --path instance/id --instructions 'return-503*2,return-reset-connection'

Exit status:
  0  done; the id of the fault is printed
  1  the admin API refused the fault, or did not answer
  2  the command line is wrong";

const MAPPINGS: &str = "/__admin/mappings";

#[derive(Debug, Subcommand)]
pub(crate) enum Fault {
    Add(Box<Add>),

    List(List),

    Remove(Remove),
}

/// Add a fault: an answer, a delay or a broken connection in place of the usual answer
#[derive(Debug, Args)]
#[command(
    after_help = ADD_NOTES,
    group = ArgGroup::new("effect").multiple(true).required(true),
    group = ArgGroup::new("answer").multiple(true)
)]
pub(crate) struct Add {
    /// Only requests for this path, such as instance/service-accounts/*/token; * is any name [default: all paths]
    #[arg(long, value_name = "PATH")]
    path: Option<String>,

    /// Only requests with this method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,

    /// Only requests that concern the service account with this e-mail or alias
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,

    /// Answer with this status
    #[arg(long, value_name = "STATUS", value_parser = number::<u16>, groups = ["effect", "answer"])]
    status: Option<u16>,

    /// Answer with this header; may be repeated
    #[arg(long, value_name = "NAME: VALUE", value_parser = header, requires = "status")]
    header: Vec<(String, String)>,

    /// Answer with this text instead of an error page
    #[arg(long, value_name = "TEXT", requires = "status")]
    body: Option<String>,

    /// Delay the answer, or what other options do
    #[arg(long, value_name = "DURATION", value_parser = duration, group = "effect")]
    latency: Option<Duration>,

    /// Reset the connection (RST)
    #[arg(long, group = "effect", conflicts_with_all = ["answer", "empty"])]
    reset: bool,

    /// Close the connection without a byte (FIN)
    #[arg(long, group = "effect", conflicts_with = "answer")]
    empty: bool,

    /// Never answer
    #[arg(long, group = "effect", conflicts_with_all = ["answer", "latency", "reset", "empty"])]
    hang: bool,

    /// Instruction words, one for each request, such as return-503*2,stall-for-2s
    #[arg(long, value_name = "WORDS", value_parser = instructions, group = "effect",
        conflicts_with_all = ["answer", "latency", "reset", "empty", "hang", "times", "skip", "every"])]
    instructions: Option<Words>,

    /// Stop after this number of matching requests
    #[arg(long, value_name = "N", value_parser = positive)]
    times: Option<usize>,

    /// Answer this number of requests as usual first
    #[arg(long, value_name = "N", value_parser = number::<u64>)]
    skip: Option<u64>,

    /// Only every Nth request
    #[arg(long, value_name = "N", value_parser = positive)]
    every: Option<usize>,

    /// Only this share of the requests, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = number::<f64>)]
    probability: Option<f64>,

    /// End after this time
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    time_to_live: Option<Duration>,

    /// Fail the token source below the cache instead of the request
    #[arg(long)]
    at_source: bool,

    /// Name for the list and the journal
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// File of the fault in JSON, as the admin API takes it; - reads standard input
    #[arg(long, value_name = "FILE", group = "effect", exclusive = true)]
    json: Option<PathBuf>,

    #[command(flatten)]
    api: AdminApi,
}

/// The words of `--instructions`, as one value.
#[derive(Debug, Clone)]
struct Words(Vec<String>);

fn instructions(list: &str) -> Result<Words, String> {
    instruction_words(list).map(Words)
}

/// List the faults in the order in which they are tried, with the number of requests that each was injected into
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct List {
    /// Format of the output: text is a line per fault
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

/// Remove a fault, or all
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS, group = ArgGroup::new("removed").required(true))]
pub(crate) struct Remove {
    /// The id, which `fault add` and `fault list` print
    #[arg(group = "removed")]
    id: Option<String>,

    /// Remove all faults, those of simulation files too
    #[arg(long, group = "removed")]
    all: bool,

    #[command(flatten)]
    api: AdminApi,
}

impl Fault {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.run(environment),
            Self::List(list) => list.run(environment),
            Self::Remove(remove) => remove.run(environment),
        }
    }
}

impl Add {
    fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let body = match &self.json {
            Some(path) => {
                let text = file::read_or_stdin(path).with_context(|| format!("--json {}", path.display()))?;
                text.as_bytes().to_vec()
            }
            None => self.document().to_string().into_bytes(),
        };
        let request = Request::post(MAPPINGS).header(CONTENT_TYPE, "application/json");
        let added = json(&self.api.send(environment, request, body)?)?;
        print(&format!("{}\n", added["id"].as_str().unwrap_or_default()))
    }

    /// The fault in JSON.
    fn document(&self) -> Value {
        let mut fault = Map::new();
        let mut set = |name: &str, value: Option<Value>| fault.extend(value.map(|value| (name.to_owned(), value)));
        set("name", self.name.clone().map(Value::from));
        set("at", self.at_source.then(|| "source".into()));
        let request = self.request();
        set("request", (!request.is_empty()).then(|| request.into()));
        set("failRequestCount", self.times.map(Value::from));
        set("succeedFirst", self.skip.map(Value::from));
        set("failEvery", self.every.map(Value::from));
        set("probability", self.probability.map(Value::from));
        set("timeToLive", self.time_to_live.map(milliseconds));
        match &self.instructions {
            Some(Words(words)) => set("instructions", Some(words.clone().into())),
            None if self.hang => {
                // A list of words has an end; a delay of a day is for ever.
                let day = json!(24 * 3600 * 1000);
                set("response", Some(json!({"proxyBaseUrl": ITSELF, "fixedDelayMilliseconds": day})));
            }
            None => set("response", Some(self.response())),
        }
        fault.into()
    }

    fn request(&self) -> Map<String, Value> {
        let path = self.path.as_ref().map(|path| ("path".to_owned(), path.as_str().into()));
        let method = self.method.as_ref().map(|method| ("method".to_owned(), method.as_str().into()));
        let account = self.account.as_ref().map(|account| ("account".to_owned(), json!({"equalTo": account})));
        [path, method, account].into_iter().flatten().collect()
    }

    fn response(&self) -> Value {
        let mut response = json!({});
        if let Some(status) = self.status {
            response["status"] = status.into();
        } else if self.reset {
            response["fault"] = "CONNECTION_RESET_BY_PEER".into();
        } else if self.empty {
            response["fault"] = "EMPTY_RESPONSE".into();
        } else {
            response["proxyBaseUrl"] = ITSELF.into();
        }
        for (name, value) in &self.header {
            response["headers"][name] = value.as_str().into();
        }
        if let Some(body) = &self.body {
            response["body"] = body.as_str().into();
        }
        if let Some(latency) = self.latency {
            response["fixedDelayMilliseconds"] = milliseconds(latency);
        }
        response
    }
}

/// The `proxyBaseUrl` of the usual answer.
const ITSELF: &str = "http://metadata.google.internal";

fn milliseconds(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

impl List {
    fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let answer = json(&self.api.send(environment, Request::get(MAPPINGS), Bytes::new())?)?;
        if self.format == Format::Json {
            return print_json(&answer["mappings"]);
        }
        let faults = answer["mappings"].as_array().map_or(&[][..], Vec::as_slice);
        print(&faults.iter().map(line).collect::<String>())
    }
}

/// A fault on a line: id, injected of matched, what it does, and to which requests.
fn line(fault: &Value) -> String {
    let counters = &fault["metadata"]["metadataServer"];
    let effect = match &fault["instructions"] {
        Value::Null => fault["response"].to_string(),
        words => words.to_string(),
    };
    let request = if fault["request"].is_null() { "each request".to_owned() } else { fault["request"].to_string() };
    let name = fault["name"].as_str().map(|name| format!("{name}: ")).unwrap_or_default();
    let completed = if counters["completed"] == true { ", completed" } else { "" };
    format!(
        "{}  injected into {} of {}{completed}  {name}{effect} on {request}\n",
        fault["id"].as_str().unwrap_or_default(),
        counters["injected"],
        counters["matched"],
    )
}

impl Remove {
    fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let path = match &self.id {
            Some(id) => format!("{MAPPINGS}/{}", utf8_percent_encode(id, NON_ALPHANUMERIC)),
            None => MAPPINGS.to_owned(),
        };
        self.api.send(environment, Request::delete(path), Bytes::new())?;
        Ok(())
    }
}
