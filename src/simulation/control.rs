//! Puts the simulation of a server in force, follows its files, and restores what they say.

use super::document::Simulation;
use super::error::SimulationError;
use super::settings::SettingsDocument;
use super::sources::{Content, Loaded, Source, load};
use crate::blocking::retrying;
use crate::faults::Faults;
use crate::reload::ReloadCounts;
use crate::scenarios::Scenarios;
use crate::server::Readiness;
use crate::vm::Settings;
use gce_metadata_tokens::follow::Follow;
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Mutex, MutexGuard};

/// The simulation of a server. Clones control the same one.
#[derive(Clone)]
pub(crate) struct SimulationControl(Arc<Shared>);

struct Shared {
    sources: Arc<[Source]>,
    faults: Faults,
    scenarios: Scenarios,
    settings: Settings,
    readiness: Readiness,
    counts: Arc<ReloadCounts>,
    /// The settings at the start, which the readiness restores by itself.
    at_start: SettingsDocument,
    /// Locked while the files are read, so that reloads take turns.
    state: Mutex<State>,
}

struct State {
    simulation: Simulation,
    /// The last contents. A file event that did not change one is ignored.
    contents: Vec<Content>,
}

impl SimulationControl {
    /// Puts faults, scenarios and settings in force, but starts no runs. The readiness is that of the start of the server.
    pub(crate) fn install(
        loaded: Loaded,
        faults: Faults,
        scenarios: Scenarios,
        settings: Settings,
        readiness: Readiness,
    ) -> Self {
        let Loaded { sources, contents, simulation } = loaded;
        faults.set_baseline(simulation.faults.clone());
        scenarios.set_baseline(simulation.scenarios.clone());
        settings.set_baseline(simulation.settings.baseline());
        let (counts, at_start) = (Arc::default(), simulation.settings.clone());
        let (sources, state) = (sources.into(), Mutex::new(State { simulation, contents }));
        Self(Arc::new(Shared { sources, faults, scenarios, settings, readiness, counts, at_start, state }))
    }

    /// The number of reloads of the files.
    pub(crate) fn counts(&self) -> &Arc<ReloadCounts> {
        &self.0.counts
    }

    /// Starts the runs of the documents.
    ///
    /// # Errors
    /// If one can't be started. Those before it are under way.
    pub(crate) async fn start_runs(&self) -> Result<(), SimulationError> {
        let state = self.0.state.lock().await;
        self.start(&state.simulation).await
    }

    async fn start(&self, simulation: &Simulation) -> Result<(), SimulationError> {
        for run in &simulation.runs {
            let started = self.0.scenarios.run(&run.scenario, &run.options);
            started.map_err(|error| run.wrong(error.into()))?;
        }
        self.0.scenarios.settled().await;
        Ok(())
    }

    /// Puts changes of the files in force. Runs until it is dropped.
    pub(crate) async fn follow(self) {
        let paths: Vec<_> = self.0.sources.iter().filter_map(Source::path).cloned().collect();
        if paths.is_empty() {
            return;
        }
        let mut follow = Follow::new(paths);
        loop {
            follow.changed().await;
            let mut state = self.0.state.lock().await;
            let (contents, loaded) = self.load().await;
            if contents != state.contents {
                state.contents = contents;
                if let Ok(new) = self.counted(loaded) {
                    self.change(&mut state, new).await;
                }
            }
        }
    }

    /// Reads the files again, for [`Restoring::finish`]; what is in force does not change until then. If a file can't be used, the error is
    /// the second value, and `finish` restores the former documents.
    pub(crate) async fn read(&self) -> (Restoring<'_>, Result<(), SimulationError>) {
        let mut state = self.0.state.lock().await;
        let (contents, loaded) = self.load().await;
        state.contents = contents;
        let read = self.counted(loaded).map(|new| state.simulation = new);
        (Restoring { control: self, state }, read)
    }

    /// Reads the files on a thread that may block.
    async fn load(&self) -> (Vec<Content>, Result<Simulation, SimulationError>) {
        let sources = Arc::clone(&self.0.sources);
        retrying(move || load(&sources)).await
    }

    /// Counts and logs the outcome of reading the files.
    fn counted(&self, loaded: Result<Simulation, SimulationError>) -> Result<Simulation, SimulationError> {
        self.0.counts.count(loaded.is_ok());
        match &loaded {
            Ok(_) => tracing::info!("simulation reloaded"),
            Err(error) => tracing::error!("simulation not reloaded, the former one stays in force: {error}"),
        }
        loaded
    }

    /// Puts the difference between the former documents and the new ones in force. Changes at run time stay otherwise, and no run starts.
    async fn change(&self, state: &mut State, new: Simulation) {
        let Shared { faults, scenarios, settings, readiness, .. } = &*self.0;
        let old = std::mem::replace(&mut state.simulation, new);
        let new = &state.simulation;
        if old.fault_documents != new.fault_documents {
            faults.set_baseline(new.faults.clone());
        }
        scenarios.set_baseline(new.scenarios.clone());
        settings.set_baseline(new.settings.baseline());
        let was_switched = (old.settings.ready(), old.settings.not_ready());
        if was_switched != (new.settings.ready(), new.settings.not_ready()) {
            switch(readiness, &new.settings).await;
        }
        scenarios.settled().await;
    }
}

/// Switches the readiness as settings say; ready if they don't say it.
async fn switch(readiness: &Readiness, settings: &SettingsDocument) {
    let manner = settings.not_ready().unwrap_or_default();
    if let Err(error) = readiness.change(Some(settings.ready().unwrap_or(true)), Some(manner)).await {
        tracing::error!("the simulation can't change whether clients reach the server: {error}");
    }
}

/// A restoration of what the documents say, after the files were read.
#[must_use = "`finish` restores the simulation"]
pub(crate) struct Restoring<'a> {
    control: &'a SimulationControl,
    state: MutexGuard<'a, State>,
}

impl Restoring<'_> {
    /// Ends all runs, so that they put their values back before the metadata is reset.
    pub(crate) async fn end_runs(&self) {
        self.control.0.scenarios.reset();
        self.control.0.scenarios.settled().await;
    }

    /// Restores faults, scenarios and settings as the documents have them, and starts their runs again.
    ///
    /// # Errors
    /// If a run can't be started.
    pub(crate) async fn finish(self) -> Result<(), SimulationError> {
        self.end_runs().await;
        let Shared { faults, scenarios, settings, readiness, at_start, .. } = &*self.control.0;
        let simulation = &self.state.simulation;
        faults.set_baseline(simulation.faults.clone());
        faults.reset();
        scenarios.set_baseline(simulation.scenarios.clone());
        scenarios.clear();
        settings.set_baseline(simulation.settings.baseline());
        settings.reset();
        let now = &simulation.settings;
        if (now.ready(), now.not_ready()) == (at_start.ready(), at_start.not_ready()) {
            if let Err(error) = readiness.reset().await {
                tracing::error!("the readiness of the start can't be restored: {error}");
            }
        } else {
            switch(readiness, now).await;
        }
        let started = self.control.start(simulation).await;
        started.inspect_err(|error| tracing::error!("a run of the simulation can't be started: {error}"))
    }
}

impl fmt::Debug for SimulationControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulationControl").field("sources", &self.0.sources).finish_non_exhaustive()
    }
}
