//! The engine: holds the runs, publishes their states, and drives them by tokio's clock.
//!
//! All changes happen under one lock, on the thread that asks for them, so that an answer to `run`, `step` or `advance` comes after its
//! effects. One task, the [`Driver`], enters the states that time brings.

use super::catalog::Catalog;
use super::definition::{Definition, STARTED};
use super::driver::Driver;
use super::effects::FaultPort;
use super::error::ScenarioError;
use super::event::{EndReason, ScenarioEvent};
use super::facts::Facts;
use super::options::RunOptions;
use super::placeholders::expanded;
use super::report;
use super::run::Run;
use super::timeline::{Progression, Timeline};
use super::touched::Touched;
use crate::events::Events;
use crate::journal::Journal;
use crate::server::{NotReady, Readiness};
use gce_metadata_routes::Publisher;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;

/// The number of events that a slow subscriber may lag behind.
const EVENTS: usize = 256;

/// The key whose changes are maintenance events.
const MAINTENANCE_EVENT: &str = "instance/maintenance-event";

/// The scenarios of a server and their runs. Clones share them.
#[derive(Clone)]
pub struct Scenarios(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub(super) ports: Ports,
    /// The runtime of the server, whose clock tests may pause.
    runtime: Handle,
    subscribers: broadcast::Sender<ScenarioEvent>,
    /// How clients are to be treated; `None` if the server is to be ready.
    pub(super) not_ready: watch::Sender<Wanted>,
    /// The number of the last [`Wanted`] that the driver has applied.
    pub(super) settled: watch::Receiver<u64>,
    /// Wakes the driver.
    pub(super) changed: Notify,
    /// The number of changes, for those who wait for the end of a run.
    changes: watch::Sender<u64>,
    state: Mutex<State>,
}

/// The parts of a server that runs act on.
pub(crate) struct Ports {
    pub(crate) publisher: Publisher,
    pub(crate) faults: Arc<dyn FaultPort>,
    /// `None` if the server is always ready.
    pub(crate) readiness: Option<Readiness>,
    /// `None` without a journal.
    pub(crate) journal: Option<Journal>,
    pub(crate) events: Events,
}

/// What the runs want the readiness of the server to be.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) number: u64,
    pub(super) not_ready: Option<NotReady>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) catalog: Catalog,
    /// The runs that are not over, by their scenarios.
    pub(super) runs: BTreeMap<String, Run>,
    last_number: u64,
    /// The end of the last run that changed `instance/maintenance-event`.
    last_maintenance: Option<SystemTime>,
}

impl Scenarios {
    /// Returns the handle, and the driver, which the server must run. Must be called in the runtime of the server.
    pub(crate) fn new(ports: Ports) -> (Self, Driver) {
        let (applied, settled) = watch::channel(0);
        let scenarios = Self(Arc::new(Shared {
            ports,
            runtime: Handle::current(),
            subscribers: broadcast::Sender::new(EVENTS),
            not_ready: watch::Sender::default(),
            settled,
            changed: Notify::new(),
            changes: watch::Sender::default(),
            state: Mutex::default(),
        }));
        (scenarios.clone(), Driver::new(scenarios, applied))
    }

    /// The events of all runs from now on. A subscriber that lags far behind loses the oldest ones.
    pub fn subscribe(&self) -> broadcast::Receiver<ScenarioEvent> {
        self.0.subscribers.subscribe()
    }

    /// A counter of changes of runs.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Starts a run of a scenario, and returns its number and its JSON.
    pub(crate) fn run(&self, name: &str, options: &RunOptions) -> Result<(u64, Value), ScenarioError> {
        options.check("")?;
        let (mut state, now) = (self.lock(), self.now());
        self.start(&mut state, name, options, now)?;
        self.enter_due(&mut state);
        Ok((state.last_number, state.report(name, now)))
    }

    /// Enters the next state of a run, or ends a run that is in its last state. Returns its JSON.
    pub(crate) fn step(&self, name: &str, number: Option<u64>) -> Result<Value, ScenarioError> {
        let (mut state, now) = (self.lock(), self.now());
        let run = state.run_mut(name, number)?;
        if let Some(index) = run.next_state() {
            run.jump(index, now);
        }
        self.enter_next(&mut state, name);
        self.enter_due(&mut state);
        Ok(state.report(name, now))
    }

    /// Moves the timeline of a run ahead, and enters the states that it passes. Returns the JSON of the run.
    pub(crate) fn advance(&self, name: &str, number: Option<u64>, by: Duration) -> Result<Value, ScenarioError> {
        let (mut state, now) = (self.lock(), self.now());
        state.run_mut(name, number)?.timeline.advance(by, now);
        self.enter_due(&mut state);
        Ok(state.report(name, now))
    }

    /// Puts a scenario into this state: moves its run, or starts one that only moves by hand. `Started` ends the run.
    pub(crate) fn set_state(&self, name: &str, to: &str) -> Result<(), ScenarioError> {
        let (mut state, now) = (self.lock(), self.now());
        state.catalog.check(name)?;
        if to.is_empty() || to == STARTED {
            self.finish(&mut state, name, EndReason::Stopped);
            return Ok(());
        }
        if !state.runs.contains_key(name) {
            // Checked before the run is started.
            let definition = state.definition(name, &RunOptions::default(), self.0.ports.journal.as_ref())?;
            position(&definition, to)?;
            let options = RunOptions { progression: Progression::Manual, ..RunOptions::default() };
            self.start(&mut state, name, &options, now)?;
        }
        let run = state.run_mut(name, None)?;
        let index = position(&run.definition, to)?;
        run.jump(index, now);
        if run.state() != to {
            self.enter(&mut state, name, index);
        }
        self.enter_due(&mut state);
        Ok(())
    }

    /// Ends a run and puts its values back. Returns whether there was one.
    pub(crate) fn stop(&self, name: &str, number: Option<u64>) -> Result<bool, ScenarioError> {
        let mut state = self.lock();
        state.catalog.check(name)?;
        let is_running = state.run_mut(name, number).is_ok();
        if is_running {
            self.finish(&mut state, name, EndReason::Stopped);
        }
        Ok(is_running)
    }

    /// Ends all runs, the latest first.
    pub(crate) fn reset(&self) {
        let mut state = self.lock();
        let mut runs: Vec<_> = state.runs.iter().map(|(name, run)| (run.number, name.clone())).collect();
        runs.sort_unstable_by(|a, b| b.cmp(a));
        runs.iter().for_each(|(_, name)| self.finish(&mut state, name, EndReason::Stopped));
    }

    /// Ends all runs, and removes the scenarios that are not built in.
    pub(crate) fn clear(&self) {
        self.reset();
        self.lock().catalog.clear();
    }

    /// Adds a run, which has entered no state yet.
    fn start(&self, state: &mut State, name: &str, options: &RunOptions, now: Instant) -> Result<(), ScenarioError> {
        let definition = state.definition(name, options, self.0.ports.journal.as_ref())?;
        if state.runs.contains_key(name) {
            return Err(ScenarioError::Running { name: name.to_owned() });
        }
        state.check_conflicts(&definition)?;
        self.check_states(&definition)?;
        let lead = options.lead(SystemTime::now());
        state.last_number += 1;
        let timeline = Timeline::new(options.progression, now, lead, options.speed);
        state.runs.insert(name.to_owned(), Run::new(state.last_number, definition, timeline, options.keep));
        self.emit(ScenarioEvent::Started { scenario: name.to_owned() });
        Ok(())
    }

    /// Checks that all states can be entered with the current metadata, so that a run does not fail half way.
    fn check_states(&self, definition: &Definition) -> Result<(), ScenarioError> {
        let mut tree = self.0.ports.publisher.reader().snapshot().tree().clone();
        let (mut touched, now) = (Touched::default(), SystemTime::now());
        for state in &definition.states {
            let wrong = |error: &dyn fmt::Display| {
                ScenarioError::invalid("", format!("the state {} can't be entered: {error}", state.name))
            };
            if let Some(patch) = &state.patch {
                tree = touched.apply(&tree, &expanded(patch, now)).map_err(|error| wrong(&error))?;
            }
            for mapping in &state.faults {
                let checked = self.0.ports.faults.check(mapping);
                checked.map_err(|refused| wrong(&format!("fault{}: {}", refused.pointer, refused.detail)))?;
            }
        }
        Ok(())
    }

    /// Enters the states that are due by the clock.
    pub(super) fn pass_due(&self) {
        let mut state = self.lock();
        self.enter_due(&mut state);
    }

    /// Enters all states that are due, of all runs, in the order of their times.
    fn enter_due(&self, state: &mut State) {
        let now = self.now();
        loop {
            let due = state.runs.iter().filter(|(_, run)| run.is_next_due(now));
            let Some(name) = due.min_by_key(|(_, run)| run.due()).map(|(name, _)| name.clone()) else { break };
            self.enter_next(state, &name);
        }
        self.after_change(state);
    }

    /// Enters the next state of a run, or ends it after its last one.
    fn enter_next(&self, state: &mut State, name: &str) {
        match state.runs.get(name).map(Run::next_state) {
            Some(Some(index)) => self.enter(state, name, index),
            Some(None) => self.finish(state, name, EndReason::Finished),
            None => {}
        }
    }

    fn enter(&self, state: &mut State, name: &str, index: usize) {
        let Some(run) = state.runs.get_mut(name) else { return };
        match run.enter(index, &self.0.ports.publisher, &*self.0.ports.faults) {
            Ok(signal) => {
                let (scenario, state) = (name.to_owned(), run.state().to_owned());
                self.emit(ScenarioEvent::Entered { scenario, state, signal });
            }
            Err(error) => self.finish(state, name, EndReason::Aborted(error)),
        }
    }

    pub(super) fn finish(&self, state: &mut State, name: &str, reason: EndReason) {
        let Some(run) = state.runs.remove(name) else { return };
        if run.definition.paths().contains(MAINTENANCE_EVENT) {
            state.last_maintenance = Some(SystemTime::now());
        }
        let (kept, signal) = run.put_back(&self.0.ports.publisher);
        self.emit(ScenarioEvent::Ended { scenario: name.to_owned(), reason, kept, signal });
        self.after_change(state);
    }

    /// Publishes what follows from all runs together.
    fn after_change(&self, state: &State) {
        let not_ready = state.runs.values().filter_map(|run| Some((run.number, run.not_ready()?)));
        let not_ready = not_ready.max_by_key(|(number, _)| *number).map(|(_, not_ready)| not_ready);
        self.0.not_ready.send_if_modified(|wanted| {
            let changes = wanted.not_ready != not_ready;
            *wanted = Wanted { number: wanted.number + u64::from(changes), not_ready };
            changes
        });
        self.0.changes.send_modify(|changes| *changes += 1);
        self.0.changed.notify_one();
    }

    fn emit(&self, event: ScenarioEvent) {
        report::log(&event);
        report::emit(&self.0.ports.events, &event);
        // Fails without subscribers.
        let _ = self.0.subscribers.send(event);
    }

    /// The time by the clock of the server's runtime, also on threads outside of it.
    pub(super) fn now(&self) -> Instant {
        let _context = self.0.runtime.enter();
        Instant::now()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    pub(super) fn definition(
        &self,
        name: &str,
        options: &RunOptions,
        journal: Option<&Journal>,
    ) -> Result<Definition, ScenarioError> {
        let facts = Facts { journal, last_maintenance: self.last_maintenance };
        self.catalog.definition(name, &options.parameters, &facts)
    }

    /// The run of a scenario, if it has this number.
    pub(super) fn run_mut(&mut self, name: &str, number: Option<u64>) -> Result<&mut Run, ScenarioError> {
        self.catalog.check(name)?;
        let run = self.runs.get_mut(name).filter(|run| number.is_none_or(|number| run.number == number));
        run.ok_or_else(|| ScenarioError::NotRunning { name: name.to_owned() })
    }

    /// The JSON of a run at this time; of a scenario that does not run if it is over.
    fn report(&self, name: &str, now: Instant) -> Value {
        self.runs.get(name).map_or_else(|| report::no_run(name), |run| run.json(name, now))
    }

    /// Refuses a run that changes a value that another run changes.
    fn check_conflicts(&self, definition: &Definition) -> Result<(), ScenarioError> {
        let paths = definition.paths();
        for (other, run) in &self.runs {
            let taken = run.definition.paths();
            if let Some(path) = paths.iter().find(|path| taken.iter().any(|taken| overlap(path, taken))) {
                return Err(ScenarioError::Conflict { path: path.clone(), other: other.clone() });
            }
        }
        Ok(())
    }
}

/// Whether one of the paths is the other or above it.
fn overlap(a: &str, b: &str) -> bool {
    a.split('/').zip(b.split('/')).all(|(a, b)| a == b)
}

fn position(definition: &Definition, state: &str) -> Result<usize, ScenarioError> {
    definition.position(state).ok_or_else(|| {
        let names = definition.state_names().join(", ");
        ScenarioError::invalid("/state", format!("the scenario has no state {state:?}: expected {names}"))
    })
}

impl fmt::Debug for Scenarios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scenarios").field("runs", &self.lock().runs.keys()).finish_non_exhaustive()
    }
}
