//! Reloads of a running server: of its config file and of its simulation files.

use super::Server;
use crate::reload::ReloadCounts;
use crate::simulation::{ReloadError, SimulationError};

impl Server {
    /// The number of reloads of the config file.
    pub fn reloads(&self) -> &ReloadCounts {
        self.vm.reloads()
    }

    /// The number of reloads of the simulation files; `None` without a simulation at the start.
    pub fn simulation_reloads(&self) -> Option<&ReloadCounts> {
        self.simulation.as_ref().map(|simulation| &**simulation.counts())
    }

    /// Reloads the config file and the simulation files, even if they have not changed, and returns whether the metadata changed. Run-time
    /// edits are discarded: see [`Vm::reload`](crate::Vm::reload). Faults, scenarios and settings are those of the simulation files again, and
    /// the runs of these files start anew. Without such files, faults, scenarios and settings stay as they are.
    ///
    /// The future does not borrow the server, so that it can be spawned.
    ///
    /// # Errors
    /// If a file can't be used. What it said before stays in force.
    pub fn reload(&self) -> impl Future<Output = Result<bool, ReloadError>> + Send + 'static {
        let (vm, simulation) = (self.vm.clone(), self.simulation.clone());
        async move {
            let Some(simulation) = simulation else { return Ok(vm.reload().await?) };
            let (restoring, read) = simulation.read().await;
            if let Err(error) = read {
                vm.reload().await?;
                return Err(error.into());
            }
            // A run would take the new metadata for the change of another writer.
            restoring.end_runs().await;
            let reloaded = vm.reload().await;
            restoring.finish().await?;
            Ok(reloaded?)
        }
    }

    /// Starts the runs of the simulations, if [`defer_runs`](crate::ServerBuilder::defer_runs) has left that to the caller.
    ///
    /// # Errors
    /// If a run can't be started: it changes the same value as another one, or the metadata can't hold its values.
    pub async fn start_runs(&self) -> Result<(), SimulationError> {
        match &self.simulation {
            Some(simulation) => simulation.start_runs().await,
            None => Ok(()),
        }
    }
}
