//! Options that simulate a metadata server with faults.

use super::ignored;
use crate::cli::values::duration;
use clap::{Args, ValueEnum};
use gce_metadata_server::{NotReady, ServerBuilder};
use std::time::Duration;

#[derive(Debug, Args)]
#[command(next_help_heading = "Simulation Options")]
pub(crate) struct Simulation {
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
        match self.ready_after {
            Some(time) => builder.ready_after(time),
            None => builder,
        }
    }

    /// A warning about options that are given without effect.
    pub(super) fn without_effect(&self, has_admin: bool) -> Option<String> {
        if has_admin || self.ready_after.is_some() {
            return None;
        }
        ignored(&[("--not-ready", self.not_ready != Manner::Refuse)], "add --ready-after or --admin")
    }
}
