//! `scenario`: lists, runs, moves and stops the scenarios of a running server.

use super::client::{AdminApi, EXIT_STATUS, json};
use super::{Format, print, print_json};
use crate::cli::values::{duration, number, pair};
use bytes::Bytes;
use clap::{Args, Subcommand, ValueEnum};
use gce_metadata_server::Environment;
use http::{Method, Request, header::CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::thread::sleep;
use std::time::Duration;

const RUN_NOTES: &str = "\
Examples:
  gce-metadata-server scenario run preemption --in 5s --notice 120
  gce-metadata-server scenario run graceful-shutdown --param duration=1m --speed 10 --wait
  gce-metadata-server scenario run preemption --progression manual

Exit status:
  0  done
  1  the admin API refused the run, or did not answer
  2  the command line is wrong";

const SCENARIOS: &str = "/__admin/scenarios";

/// The time between two looks at a run.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(crate) enum Scenario {
    List(List),

    Run(Box<Run>),

    Step(Step),

    Advance(Advance),

    Stop(Stop),

    Reset(Reset),
}

/// List the scenarios with their states
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct List {
    /// Format of the output: text is a line per scenario; json has the definitions, parameters and runs
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    api: AdminApi,
}

/// Run a scenario, and print its state
#[derive(Debug, Args)]
#[command(after_help = RUN_NOTES)]
pub(crate) struct Run {
    /// The scenario
    name: String,

    /// Start after this time
    #[arg(long = "in", value_name = "DURATION", value_parser = given_duration)]
    start_in: Option<String>,

    /// Start at this time, such as 2030-01-01T12:00:00Z; at once if it is past
    #[arg(long = "at", value_name = "TIME", conflicts_with = "start_in")]
    start_at: Option<String>,

    /// Run this many times as fast: 60 makes an hour a minute
    #[arg(long, value_name = "N", value_parser = number::<f64>)]
    speed: Option<f64>,

    /// What moves the run
    #[arg(long, value_enum, value_name = "PROGRESSION", default_value_t = Progression::Time)]
    progression: Progression,

    /// Keep the values of the last state when the run is over
    #[arg(long)]
    keep: bool,

    /// Parameter notice of a preemption, in seconds: 0 or 120
    #[arg(long, value_name = "SECONDS")]
    notice: Option<String>,

    /// Parameter of the scenario; may be repeated. `scenario list --format json` shows all parameters
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    param: Vec<(String, String)>,

    /// Wait until the run is over, or stays in its last state
    #[arg(long)]
    wait: bool,

    #[command(flatten)]
    api: AdminApi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Progression {
    /// The clock
    Time,
    /// The commands step and advance
    Manual,
    /// Nothing: all states are entered at once
    Immediate,
}

/// Enter the next state of a run, and print it; end a run that is in its last state
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Step {
    /// The scenario
    name: String,

    #[command(flatten)]
    api: AdminApi,
}

/// Move a run ahead by a time, and print its state
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Advance {
    /// The scenario
    name: String,

    /// The time, such as 30s or 1m30s
    #[arg(value_parser = given_duration)]
    by: String,

    #[command(flatten)]
    api: AdminApi,
}

/// End the run of a scenario, and put its values back
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Stop {
    /// The scenario
    name: String,

    #[command(flatten)]
    api: AdminApi,
}

/// End all runs, and put their values back
#[derive(Debug, Args)]
#[command(after_help = EXIT_STATUS)]
pub(crate) struct Reset {
    #[command(flatten)]
    api: AdminApi,
}

impl Scenario {
    pub(in crate::cli) fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        match self {
            Self::List(list) => list.run(environment),
            Self::Run(run) => run.run(environment),
            Self::Step(Step { name, api }) => print_state(&post(api, environment, &url(name, "step"), None)?),
            Self::Advance(Advance { name, by, api }) => {
                print_state(&post(api, environment, &url(name, "advance"), Some(&json!({"by": by})))?)
            }
            Self::Stop(Stop { name, api }) => post(api, environment, &url(name, "stop"), None).map(drop),
            Self::Reset(Reset { api }) => post(api, environment, &format!("{SCENARIOS}/reset"), None).map(drop),
        }
    }
}

impl List {
    fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let request = Request::get(format!("{SCENARIOS}?details=true"));
        let answer = json(&self.api.send(environment, request, Bytes::new())?)?;
        if self.format == Format::Json {
            return print_json(&answer["scenarios"]);
        }
        let scenarios = answer["scenarios"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |scenario: &Value, name: &str| scenario[name].as_str().unwrap_or_default().to_owned();
        let names = || scenarios.iter().map(|scenario| text(scenario, "name"));
        let width = names().map(|name| name.len()).max().unwrap_or_default();
        let lines = scenarios.iter().map(|scenario| {
            let (name, state) = (text(scenario, "name"), text(scenario, "state"));
            let state = if scenario["run"].is_null() { "not running".to_owned() } else { state };
            let description = text(&scenario["definition"], "description");
            format!("{name:width$}  {state:11}  {description}").trim_end().to_owned() + "\n"
        });
        print(&lines.collect::<String>())
    }
}

impl Run {
    fn run(&self, environment: &Environment) -> anyhow::Result<()> {
        let run = post(&self.api, environment, &url(&self.name, "run"), Some(&self.body()))?;
        let run = if self.wait { self.settled(environment, run)? } else { run };
        print_state(&run)
    }

    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Option<Value>| body.extend(value.map(|value| (name.to_owned(), value)));
        set("in", self.start_in.as_deref().map(Value::from));
        set("at", self.start_at.as_deref().map(Value::from));
        set("speed", self.speed.map(Value::from));
        set("keep", self.keep.then_some(true.into()));
        set(
            "progression",
            match self.progression {
                Progression::Time => None,
                Progression::Manual => Some("manual".into()),
                Progression::Immediate => Some("immediate".into()),
            },
        );
        let notice = self.notice.iter().map(|notice| ("notice".to_owned(), notice.as_str().into()));
        let others = self.param.iter().map(|(name, value)| (name.clone(), value.as_str().into()));
        let parameters: Map<String, Value> = notice.chain(others).collect();
        set("parameters", (!parameters.is_empty()).then(|| parameters.into()));
        body.into()
    }

    /// Waits until no further state follows in this run, and returns its last state.
    fn settled(&self, environment: &Environment, mut run: Value) -> anyhow::Result<Value> {
        let number = run["run"].clone();
        while run.get("next").is_some() {
            sleep(POLL);
            let answer = self.api.send(environment, Request::get(url(&self.name, "")), Bytes::new())?;
            let current = json(&answer)?["run"].take();
            if current["run"] != number {
                return Ok(json!({"scenario": self.name, "state": "Started"}));
            }
            run = current;
        }
        Ok(run)
    }
}

fn post(api: &AdminApi, environment: &Environment, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let request = Request::builder().method(Method::POST).uri(path).header(CONTENT_TYPE, "application/json");
    let body = body.map(Value::to_string).unwrap_or_default();
    json(&api.send(environment, request, body)?)
}

/// The path of a scenario, or of an action below it.
fn url(name: &str, action: &str) -> String {
    let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let separator = if action.is_empty() { "" } else { "/" };
    format!("{SCENARIOS}/{name}{separator}{action}")
}

/// Prints the state of a run, and the next one with its time since the start.
fn print_state(run: &Value) -> anyhow::Result<()> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let next = match &run["next"] {
        Value::Null => String::new(),
        next => format!(", next {} at {}", text(&next["state"]), text(&next["at"])),
    };
    let state = if run.get("run").is_some() { text(&run["state"]) } else { "over".to_owned() };
    print(&format!("{}: {state}{next}\n", text(&run["scenario"])))
}

/// Checks a duration, and passes it on as it is.
fn given_duration(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

fn parameter(text: &str) -> Result<(String, String), String> {
    pair(text, '=').ok_or_else(|| "a parameter is NAME=VALUE, such as notice=120".to_owned())
}
