//! Options that simulate a metadata server with faults, and a machine on which something happens.

mod fault;
mod scenario;

use super::ignored;
use crate::cli::values::duration;
use clap::{Args, ValueEnum};
use fault::FaultOption;
use gce_metadata_server::{NotReady, ServerBuilder};
use scenario::ScenarioOption;
use std::path::PathBuf;
use std::time::Duration;

pub(in crate::cli) use fault::words;

#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation Options")]
pub(crate) struct Simulation {
    /// Simulate the faults, scenarios and settings in this JSON file, reloaded when it changes; may be repeated
    #[arg(long, value_name = "FILE")]
    simulation: Vec<PathBuf>,

    /// Inject faults into the next requests for a path, one for each word: 'instance/service-accounts/*/token=return-503*2,stall-for-2s'.
    /// * in the path is any name, and WORD*N repeats a word; may be repeated
    #[arg(long, value_name = "PATH=WORDS")]
    fault: Vec<FaultOption>,

    /// Run a scenario when the server has started, or when exec starts its command: preemption,in=5s,notice=120. Its signals reach the
    /// command of exec; may be repeated
    #[arg(long, value_name = "NAME[,OPTION=VALUE...]")]
    scenario: Vec<ScenarioOption>,

    /// Start not ready, as the metadata server of a new VM may be, and become ready after this time, in seconds or with a unit: 10s,
    /// 1m. The start message, and the command of exec, do not wait for it
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    ready_after: Option<Duration>,

    /// What a server that is not ready does with its clients
    #[arg(long, value_enum, default_value_t = Manner::Refuse, value_name = "MANNER")]
    not_ready: Manner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Manner {
    /// Refuse connections, and reset open ones; the port stays in use
    Refuse,
    /// Answer 503
    #[value(name = "503")]
    Unavailable,
    /// Accept connections and never answer
    Hang,
}

impl Simulation {
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        let builder = builder.not_ready(match self.not_ready {
            Manner::Refuse => NotReady::Refuse,
            Manner::Unavailable => NotReady::Unavailable,
            Manner::Hang => NotReady::Hang,
        });
        let builder = match self.ready_after {
            Some(time) => builder.ready_after(time),
            None => builder,
        };
        // Before those of the files, so that the faults of the command line are tried first.
        let faults = self.fault.iter().map(|option| option.0.clone());
        let scenarios = self.scenario.iter().map(|option| option.0.clone());
        let builder = faults.chain(scenarios).fold(builder, ServerBuilder::simulation);
        self.simulation.iter().fold(builder, ServerBuilder::simulation_file)
    }

    /// Whether the server simulates from its start on.
    pub(super) fn is_given(&self) -> bool {
        !(self.simulation.is_empty() && self.fault.is_empty() && self.scenario.is_empty())
    }

    /// A warning about options that are given without effect.
    pub(super) fn without_effect(&self, has_admin: bool) -> Option<String> {
        if has_admin || self.ready_after.is_some() || self.is_given() {
            return None;
        }
        ignored(&[("--not-ready", self.not_ready != Manner::Refuse)], "add --ready-after or --admin")
    }
}
