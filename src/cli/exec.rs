//! `exec -- COMMAND` runs a command with a server of its own, or with a running one, and with the environment variables that direct
//! client programs to it.

mod journal;
mod summary;
mod wiring;

use super::block_on::block_on;
use super::child::{ChildCommand, Signals};
use super::client_env::ClientEnvironment;
use super::http_client;
use super::logging;
use super::options::ServeOptions;
use super::scratch::ScratchFolder;
use super::signals::{Ignored, Stop};
use super::start::{OpenFiles, start_with};
use super::target::Target;
use super::values::http_url;
use anyhow::{Context, bail};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command};
use gce_metadata_server::{Environment, Server};
use journal::JournalOptions;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use summary::Summary;
use tracing::Level;
use wiring::Wiring;

/// The heading of the options that `serve` does not have.
pub(super) const EXEC: &str = "Exec Options";

const PORT: &str = "Port to listen at [default: any free port]";

/// Exit status of a start that SIGTERM ended.
const TERMINATED: u8 = 128 + 15;

/// How long a running server may take to answer before the command starts.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const NOTES: &str = "\
Examples:
  gce-metadata-server exec -- python3 -m pytest
  gce-metadata-server exec --config-file vm.json -- go test ./...
  gce-metadata-server exec --expect expect.json -- ./program

Exit status:
  That of the command; 128 + N if signal N ended the command; 127 if the command is not found, 126 if it can't be executed;
  1 if the server can't start or a file of an option can't be used; 2 if the options are wrong;
  3 if the command succeeds and an expectation of --expect does not hold.";

/// Run a command with a server, so that the command runs as on a VM
///
/// Google's libraries find the server in the environment of the command, and nothing that hides it.
#[derive(Debug, Args)]
#[command(after_help = NOTES, mut_arg("port", |port| port.help(PORT)))]
pub(crate) struct Exec {
    /// Use this running server, http://HOST:PORT, instead of a new one
    #[arg(long, value_name = "URL", value_parser = http_url, help_heading = EXEC)]
    url: Option<Target>,

    /// Also make the server the HTTP proxy of the command, for programs that ask metadata.google.internal or 169.254.169.254 only.
    /// The server refuses HTTP requests for other hosts; HTTPS is left alone
    #[arg(long, help_heading = EXEC)]
    via_proxy: bool,

    /// Set HOME to an empty folder, for Go programs, which find a gcloud login there
    #[arg(long, help_heading = EXEC)]
    fresh_home: bool,

    /// Do not serve the admin API, whose address the command otherwise gets in GCE_METADATA_ADMIN
    #[arg(long, conflicts_with_all = ["admin", "admin_socket"], help_heading = EXEC)]
    no_admin: bool,

    #[command(flatten)]
    journal: JournalOptions,

    #[command(flatten)]
    serve: Box<ServeOptions>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The options that have an effect on a command with a running server.
const WITH_URL: [&str; 12] = [
    "url",
    "fresh_home",
    "command",
    "v",
    "debug",
    "quiet",
    "log_level",
    "log_format",
    "json_log",
    "log_target",
    "logtostderr",
    "alsologtostderr",
];

/// Rejects options of a new server beside `--url`.
///
/// # Errors
/// The name of the first such option, in clap's error.
pub(super) fn check(exec: &Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_given = |option: &&Arg| matches.value_source(option.get_id().as_str()) == Some(ValueSource::CommandLine);
    let given: Vec<_> = exec.get_arguments().filter(is_given).collect();
    let has_effect = |option: &&&Arg| WITH_URL.contains(&option.get_id().as_str());
    let useless = given.iter().find(|option| !has_effect(option)).and_then(|option| option.get_long());
    match useless {
        Some(option) if given.iter().any(|option| option.get_id() == "url") => {
            let text = format!("--{option} configures a new server, but --url names a running one");
            Err(clap::Error::raw(ErrorKind::ArgumentConflict, text))
        }
        _ => Ok(()),
    }
}

impl Exec {
    /// Runs the command and returns its exit status.
    pub(super) fn run(self, environment: Environment) -> anyhow::Result<ExitCode> {
        logging::start_at(Level::WARN, &self.serve.logging, environment.log_filter.as_deref())?;
        block_on(self.execute(environment))?.map(ExitCode::from)
    }

    async fn execute(self, mut environment: Environment) -> anyhow::Result<u8> {
        // Before the server starts, so that no signal for the command is lost.
        let ignored = Ignored::now();
        let mut signals = Signals::listen_except(ignored)?;
        let scratch = ScratchFolder::create(&std::env::temp_dir())?;
        let wiring = Wiring {
            via_proxy: self.via_proxy,
            fresh_home: self.fresh_home,
            client_certificates: self.serve.issues_client_certificates(),
        };
        let inherited = environment.variables.clone();
        if let Some(target) = self.url {
            check_running(&target).await?;
            let changes = wiring.environment(&target, &inherited, &scratch)?;
            return command(&self.command, &changes).run(&mut signals).await;
        }
        let outcome = self.journal.open()?;
        let summary = Summary::default();
        let mut options = self.serve;
        if !self.no_admin {
            options.admin.enable();
            options.admin.take_token(&mut environment)?;
        }
        if outcome.needs_journal() {
            options.admin.keep_journal()?;
        }
        let admin_token = environment.admin_token.as_ref().map(|token| OsString::from(token.expose()));
        let Some(server) = start_server(*options, environment, self.via_proxy, ignored, &summary).await? else {
            return Ok(TERMINATED);
        };
        let url = server.url().and_then(|url| Target::from_url(&url)).context("the server has no HTTP address")?;
        let mut changes = wiring.environment(&url, &inherited, &scratch)?;
        changes.set("GCE_METADATA_ADMIN", server.admin_url().map(OsString::from));
        changes.set("GCE_METADATA_ADMIN_TOKEN", admin_token.filter(|_| server.admin_url().is_some()));
        let requests = outcome.needs_journal().then(|| server.requests());
        let command = command(&self.command, &changes).run(&mut signals);
        tokio::pin!(command);
        let status = tokio::select! {
            status = &mut command => Some(status),
            () = server.shutdown_requested() => None,
        };
        let status = match status {
            Some(status) => {
                summary.log(&url);
                server.shutdown().await;
                status
            }
            // The command asked for the end of the server, not for its own.
            None => {
                let (status, _) = tokio::join!(command, server.shutdown());
                summary.log(&url);
                status
            }
        };
        // After the shutdown, so that the journal has the requests that the command left without an answer.
        match requests {
            Some(requests) => outcome.finish(&requests, status?),
            None => status,
        }
    }
}

fn command<'a>(words: &'a [OsString], environment: &'a ClientEnvironment) -> ChildCommand<'a> {
    ChildCommand { caller: "exec", words, environment }
}

/// Starts a server for the command. `None` if a signal came before the server had started.
async fn start_server(
    mut options: ServeOptions,
    environment: Environment,
    via_proxy: bool,
    ignored: Ignored,
    summary: &Summary,
) -> anyhow::Result<Option<Server>> {
    options.require_http()?;
    options.port.get_or_insert(0);
    let mut stop = Stop::listen_except(ignored)?;
    let record = summary.clone();
    start_with(options, environment, &mut stop, OpenFiles::Kept, move |builder| {
        let builder = builder.expect_offline_tokens().record(record);
        if via_proxy { builder.answer_proxy_requests() } else { builder }
    })
    .await
}

/// Fails if no server answers.
async fn check_running(target: &Target) -> anyhow::Result<()> {
    let answer = http_client::get(target, "/", [http_client::FLAVOR], ANSWER_LIMIT).await;
    let answer =
        answer.with_context(|| format!("--url http://{target}: no server answers; start one, or leave out --url"))?;
    if !answer.headers().contains_key(http_client::FLAVOR.0) {
        bail!("--url http://{target}: this is not a metadata server: its answer has no header Metadata-Flavor");
    }
    Ok(())
}
