//! The simulations of a server.

use crate::server::ServerBuilder;
use crate::simulation::{Simulation, Source};
use std::path::PathBuf;

impl ServerBuilder {
    /// Simulates what this file says: faults, scenarios, runs of scenarios and settings. See `docs/simulation-file.md`. The file is reloaded
    /// when it changes; invalid content is logged and counted, and what the file said before stays in force. May be called several times;
    /// names in the files must differ. Implies [`simulate`](Self::simulate).
    pub fn simulation_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.simulations.push(Source::File(path.into()));
        self
    }

    /// Simulates this, as [`simulation_file`](Self::simulation_file) does. May be called several times.
    pub fn simulation(mut self, simulation: Simulation) -> Self {
        self.simulations.push(Source::Given(Box::new(simulation)));
        self
    }

    /// Does not start the runs of the simulations with the server, but by [`Server::start_runs`](crate::Server::start_runs): for a caller
    /// that subscribes to the events of the runs first.
    pub fn defer_runs(self) -> Self {
        Self { defers_runs: true, ..self }
    }

    /// Whether faults, delays and the like may be simulated while the server runs.
    pub(in crate::server) fn has_simulation(&self) -> bool {
        self.simulates || self.admin.is_some() || !self.simulations.is_empty()
    }
}
