//! `doctor` finds out why clients don't reach a running server: it asks the server, reads the environment and gcloud's files, and
//! prints a line per finding with its remedy. It changes nothing. With a command, it runs the command and reports what the command asked.
//!
//! [`CHECKS`] is the table of checks. Each group of checks is a file of this folder, and a function of [`Facts`].

mod accounts;
mod address;
mod clock;
mod credentials;
mod detection;
mod facts;
mod finding;
mod fixed_address;
mod gcloud;
mod https;
mod probe;
mod proxy;
mod run;
mod server;

use super::block_on::block_on;
use super::client::Client;
use super::client_env::PROXIED;
use super::target::{Target, TargetOption};
use clap::{Args, ValueEnum};
use facts::{Facts, Machine};
use finding::{Finding, Severity};
use gce_metadata_server::Environment;
use run::Run;
use std::io::Write;
use std::process::ExitCode;

const NOTES: &str = "\
Examples:
  gce-metadata-server doctor
  gce-metadata-server doctor --client python
  gce-metadata-server exec -- gce-metadata-server doctor
  gce-metadata-server doctor --config-file vm.json -- ./program

Exit status:
  0  no errors and no warnings
  1  an error: no client gets an answer, or the client of --client gets none, or the command sends no request
  2  a warning: some clients don't ask the server, or don't accept its answers, or the config lacks a key";

const WARNING_STATUS: u8 = 2;

/// Find out why clients don't reach a running server, or what a command asks
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(crate) struct Doctor {
    #[command(flatten)]
    target: TargetOption,

    /// Check only what concerns this client
    #[arg(long, value_name = "NAME")]
    client: Option<Client>,

    /// Format of the output
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    format: Format,

    #[command(flatten)]
    run: Run,
}

/// Findings, each with the name of its check.
type Examined = Vec<(&'static str, Finding)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line per finding
    Text,
    /// A list of objects
    Json,
}

/// A group of checks.
struct Check {
    name: &'static str,
    /// The clients that the group concerns.
    clients: &'static [Client],
    /// All findings of the group. `None` if the group can't be checked, because the server does not answer.
    find: fn(&Facts) -> Option<Vec<Finding>>,
    /// The text of the line `ok` if there are no findings.
    fine: fn(&Facts) -> String,
}

/// All checks, in the order in which their findings are printed.
const CHECKS: &[Check] = &[
    Check { name: "server", clients: Client::ALL, find: server::find, fine: server::fine },
    Check { name: "address", clients: address::CLIENTS, find: address::find, fine: address::fine },
    Check { name: "detection", clients: detection::CLIENTS, find: detection::find, fine: detection::fine },
    Check { name: "credentials", clients: Client::ALL, find: credentials::find, fine: credentials::fine },
    Check { name: "proxy", clients: PROXIED, find: proxy::find, fine: proxy::fine },
    Check { name: "gcloud", clients: &[Client::Gcloud], find: gcloud::find, fine: gcloud::fine },
    Check { name: "https", clients: &[Client::Python], find: https::find, fine: https::fine },
    Check { name: "accounts", clients: Client::ALL, find: accounts::find, fine: accounts::fine },
    Check { name: "clock", clients: Client::ALL, find: clock::find, fine: clock::fine },
    Check {
        name: "fixed-address",
        clients: fixed_address::CLIENTS,
        find: fixed_address::find,
        fine: fixed_address::fine,
    },
];

impl Doctor {
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<ExitCode> {
        let findings = match self.run.is_given() {
            true => block_on(self.run.examine(environment, self.client))??,
            false => examine(&block_on(self.facts(environment))?),
        };
        let output = match self.format {
            Format::Text => findings.iter().map(|(check, finding)| finding.line(check) + "\n").collect(),
            Format::Json => {
                let list: Vec<_> = findings.iter().map(|(check, finding)| finding.json(check)).collect();
                serde_json::to_string_pretty(&list)? + "\n"
            }
        };
        // If the reader closes the pipe early, as head does, the exit status stays the same.
        let _ = std::io::stdout().write_all(output.as_bytes());
        Ok(match findings.iter().map(|(_, finding)| finding.severity).max() {
            Some(Severity::Error) => ExitCode::FAILURE,
            Some(Severity::Warning) => ExitCode::from(WARNING_STATUS),
            Some(Severity::Ok) | None => ExitCode::SUCCESS,
        })
    }

    async fn facts(&self, environment: &Environment) -> Facts {
        let variables = environment.variables.clone();
        let target = self.target.url().cloned().or_else(|| address::named(&variables)).unwrap_or_default();
        let mut facts = Facts::new(variables, target, self.client, Machine::this(&environment.variables));
        facts.server = probe::ask(&facts.target).await;
        if fixed_address::matters(&facts) {
            facts.fixed_address_answers = probe::is_metadata_server(&Target::link_local()).await;
        }
        facts
    }
}

/// Runs the checks that concern the client. Groups without findings have a line `ok`.
fn examine(facts: &Facts) -> Examined {
    let concerns = |clients: &[Client]| facts.client.is_none_or(|client| clients.contains(&client));
    let mut examined = Vec::new();
    for check in CHECKS.iter().filter(|check| concerns(check.clients)) {
        let Some(mut findings) = (check.find)(facts) else { continue };
        findings.retain(|finding| concerns(finding.clients));
        if findings.is_empty() {
            findings.push(Finding::ok((check.fine)(facts), check.clients));
        }
        examined.extend(findings.into_iter().map(|finding| (check.name, finding)));
    }
    examined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_without_findings_is_ok() {
        let facts = Facts::example(&[]);
        let examined = examine(&facts);
        let lines: Vec<_> = examined.iter().map(|(check, finding)| finding.line(check)).collect();
        assert_eq!(examined.len(), CHECKS.len(), "{lines:#?}");
        assert!(lines.iter().all(|line| line.starts_with("ok: ")), "{lines:#?}");
    }

    #[test]
    fn only_findings_that_concern_the_client_are_listed() {
        let mut facts = Facts::example(&[("NO_GCE_CHECK", "true"), ("METADATA_SERVER_DETECTION", "none")]);
        let count = |facts: &Facts| examine(facts).iter().filter(|(_, it)| it.severity == Severity::Warning).count();
        assert_eq!(count(&facts), 2);
        for (client, expected) in [(Client::Java, 1), (Client::Node, 1), (Client::Go, 0)] {
            facts.client = Some(client);
            assert_eq!(count(&facts), expected, "{client:?}");
        }
        assert!(!examine(&facts).iter().any(|(check, _)| *check == "gcloud"));
    }
}
