//! `doctor -- COMMAND` runs the command with a server of its own, and finds out from the journal what the command asked.
//!
//! The command runs in the environment of `doctor`, in which only the address of the server is changed, so that a variable that keeps
//! the command from the server still does. If the command sends no request, it runs a second time in a network namespace, where
//! 169.254.169.254 is a metadata server ([`namespace`]).

mod namespace;
mod verdict;

use super::facts::{Facts, Machine};
use super::finding::{Finding, Severity};
use super::{Examined, examine};
use crate::cli::child::{ChildCommand, Signals};
use crate::cli::client::Client;
use crate::cli::client_env::ClientEnvironment;
use crate::cli::options::ConfigSource;
use crate::cli::signals::Ignored;
use crate::cli::target::Target;
use anyhow::Context;
use clap::Args;
use gce_metadata_server::{Environment, Requests, Server, Variables};
use namespace::Isolated;
use serde_json::Value;
use std::ffi::OsString;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Stdio;

/// The name of the check.
const RUN: &str = "run";

/// The limit on the requests that are examined.
const ENTRIES: usize = 10_000;

/// The variables with the address of the server.
const ADDRESSES: [&str; 3] = ["GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT"];

/// Exit statuses of a command that can't be executed or is not found.
const NOT_RUN: [u8; 2] = [126, 127];

#[derive(Debug, Args)]
pub(super) struct Run {
    /// Config file of the server for the command [default: GCE_METADATA_CONFIG, else config.json if it exists, else a built-in sample]
    #[arg(long, value_name = "FILE", requires = "command")]
    config_file: Option<PathBuf>,

    /// Do not run the command again in a network namespace if it sends no request
    #[arg(long, requires = "command")]
    once: bool,

    /// Serve at the fixed address in this network namespace, and write the journal to this file
    #[arg(long, value_name = "FILE", requires = "command", hide = true)]
    journal_in_namespace: Option<PathBuf>,

    /// Run this command with a server, and find out what the command asks
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "url")]
    command: Vec<OsString>,
}

impl Run {
    /// Whether there is a command.
    pub(super) fn is_given(&self) -> bool {
        !self.command.is_empty()
    }

    /// Runs the command and returns the findings.
    pub(super) async fn examine(&self, environment: &Environment, client: Option<Client>) -> anyhow::Result<Examined> {
        // Before the server starts, so that no signal for the command is lost.
        let mut signals = Signals::listen_except(Ignored::now())?;
        if let Some(file) = &self.journal_in_namespace {
            let observed = self.observe(environment, namespace::ADDRESS, &mut signals).await?;
            namespace::write(file, &observed.events)?;
            return Ok(Vec::new());
        }
        let observed = self.observe(environment, ([127, 0, 0, 1], 0).into(), &mut signals).await?;
        let mut examined: Examined = Vec::new();
        let mut add = |finding| examined.push((RUN, finding));
        if !observed.events.is_empty() {
            let summary = format!("the command sent {} and ended with {}", observed.count(), observed.end());
            add(Finding::ok(summary, &[]));
            observed.findings().into_iter().for_each(add);
            return Ok(examined);
        }
        if NOT_RUN.contains(&observed.status) {
            add(Finding::error(format!("the command ended with {}, without a request", observed.end()), &[]));
            return Ok(examined);
        }
        add(Finding::error(
            format!("the command sent no request to the server, and ended with {}", observed.end()),
            &[],
        ));
        if !self.once {
            add(self.isolated(&observed, &mut signals).await?);
        }
        examined.extend(likely_causes(&environment.variables, observed.target, client));
        Ok(examined)
    }

    /// Starts a server at this address, runs the command, and stops the server.
    async fn observe(
        &self,
        environment: &Environment,
        address: SocketAddr,
        signals: &mut Signals,
    ) -> anyhow::Result<Observed> {
        let builder = Server::builder().overrides(environment.overrides.clone());
        let builder = ConfigSource::choose(self.config_file.as_deref(), environment).apply(builder)?;
        let server = builder.listen(address).simulate().journal_entries(ENTRIES).start().await?;
        let target = server.url().and_then(|url| Target::from_url(&url)).context("the server has no HTTP address")?;
        // In a namespace, a request to the fixed address proves that the command knows that address itself.
        let variables = match self.journal_in_namespace {
            Some(_) => ClientEnvironment::default(),
            None => addressed(&target),
        };
        let status = command(&self.command, &variables, signals).await?;
        let requests = server.requests();
        server.shutdown().await;
        let events = requests.serve_events();
        Ok(Observed { target, status, events, requests })
    }

    /// Runs the command in a network namespace, if one can be made.
    async fn isolated(&self, observed: &Observed, signals: &mut Signals) -> anyhow::Result<Finding> {
        let isolated = match Isolated::new() {
            Ok(isolated) => isolated,
            Err(reason) => return Ok(verdict::not_isolated(&reason)),
        };
        let _ = writeln!(
            io::stderr(),
            "doctor: the command sent no request; it runs again, in a network where only 169.254.169.254 answers"
        );
        let words = isolated.command(self.config_file.as_deref(), &self.command)?;
        command(&words, &addressed(&observed.target), signals).await?;
        Ok(isolated.events().map_or_else(|reason| verdict::not_isolated(&reason), |events| verdict::isolated(&events)))
    }
}

/// Runs a command. Its standard output goes to standard error, because the findings are on standard output.
async fn command(words: &[OsString], environment: &ClientEnvironment, signals: &mut Signals) -> anyhow::Result<u8> {
    let stdout = io::stderr().as_fd().try_clone_to_owned().context("can't duplicate standard error")?;
    ChildCommand { caller: "doctor", words, environment }.run_with(Stdio::from(stdout), signals).await
}

/// The variables that name this server.
fn addressed(target: &Target) -> ClientEnvironment {
    let mut environment = ClientEnvironment::default();
    for name in ADDRESSES {
        environment.set(name, Some(target.to_string().into()));
    }
    environment
}

/// The findings about the environment that explain why a command does not ask the server.
fn likely_causes(variables: &Variables, target: Target, client: Option<Client>) -> Examined {
    let machine = Machine::this(variables);
    let variables = variables.clone().with(ADDRESSES.map(|name| (name.into(), target.to_string().into())));
    // The server has stopped. Checks of its answers are left out.
    let mut examined = examine(&Facts::new(variables, target, client, machine));
    examined.retain(|(check, finding)| *check != "server" && finding.severity != Severity::Ok);
    examined
}

/// A run of the command.
#[derive(Debug)]
struct Observed {
    target: Target,
    /// The exit status of the command.
    status: u8,
    /// The requests, as entries of the journal.
    events: Vec<Value>,
    requests: Requests,
}

impl Observed {
    fn findings(&self) -> Vec<Finding> {
        verdict::findings(&self.events, |key| self.requests.nearest_keys(key))
    }

    fn count(&self) -> String {
        verdict::requests(self.events.len())
    }

    fn end(&self) -> String {
        format!("exit status {}", self.status)
    }
}
