//! Runs of scenarios for tests in Rust.

use super::engine::Scenarios;
use super::error::ScenarioError;
use super::options::{RunOptions, Start};
use super::timeline::Progression;
use std::time::{Duration, SystemTime};

/// A scenario to be run: see [`Server::scenario`](crate::Server::scenario).
#[derive(Debug)]
#[must_use = "a scenario does nothing until it is run"]
pub struct ScenarioBuilder {
    scenarios: Scenarios,
    name: String,
    options: RunOptions,
}

impl ScenarioBuilder {
    pub(crate) fn new(scenarios: Scenarios, name: impl Into<String>) -> Self {
        Self { scenarios, name: name.into(), options: RunOptions::default() }
    }

    /// Starts after this time. By default the run starts at once.
    pub fn after(mut self, time: Duration) -> Self {
        self.options.start = Start::In(time);
        self
    }

    /// Starts at this time of the wall clock; at once if it is past.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.options.start = Start::At(time);
        self
    }

    /// Runs this many times as fast: 60 makes an hour a minute. The time until the start is not changed.
    pub fn speed(mut self, speed: f64) -> Self {
        self.options.speed = speed;
        self
    }

    /// Enters a state only when the test calls [`step`](ScenarioRun::step) or [`advance`](ScenarioRun::advance).
    pub fn manual(mut self) -> Self {
        self.options.progression = Progression::Manual;
        self
    }

    /// Enters all states at once, and stays in the last one.
    pub fn immediate(mut self) -> Self {
        self.options.progression = Progression::Immediate;
        self
    }

    /// Does not put the values back when the run is over.
    pub fn keep(mut self) -> Self {
        self.options.keep = true;
        self
    }

    /// Sets a parameter of a built-in scenario, such as `notice` to `120`.
    pub fn param(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.parameters.insert(name.into(), value.to_string());
        self
    }

    /// Starts the run. States that are due at once have been entered when this returns.
    ///
    /// # Errors
    /// If there is no such scenario, a parameter is wrong, or a run changes one of the same values.
    pub async fn run(self) -> Result<ScenarioRun, ScenarioError> {
        let (number, _) = self.scenarios.run(&self.name, &self.options)?;
        self.scenarios.settled().await;
        Ok(ScenarioRun { scenarios: self.scenarios, name: self.name, number })
    }
}

/// A run of a scenario. It goes on if this is dropped.
#[derive(Debug)]
pub struct ScenarioRun {
    scenarios: Scenarios,
    name: String,
    number: u64,
}

impl ScenarioRun {
    /// The name of the current state; `Started` before the first state and after the end.
    pub fn state(&self) -> String {
        self.scenarios.state_of(&self.name, self.number)
    }

    /// Moves the timeline of the run ahead by this time, and enters the states that it passes. The clock does not matter.
    ///
    /// # Errors
    /// If the run is over.
    pub async fn advance(&self, by: Duration) -> Result<(), ScenarioError> {
        self.scenarios.advance(&self.name, Some(self.number), by)?;
        self.scenarios.settled().await;
        Ok(())
    }

    /// Enters the next state at once; ends the run if it is in its last state.
    ///
    /// # Errors
    /// If the run is over.
    pub async fn step(&self) -> Result<(), ScenarioError> {
        self.scenarios.step(&self.name, Some(self.number))?;
        self.scenarios.settled().await;
        Ok(())
    }

    /// Ends the run and puts back the values that it has changed, except for those that were changed by others meanwhile. Does nothing if
    /// the run is over.
    ///
    /// # Errors
    /// If the scenario has been removed.
    pub async fn stop(&self) -> Result<(), ScenarioError> {
        self.scenarios.stop(&self.name, Some(self.number))?;
        self.scenarios.settled().await;
        Ok(())
    }

    /// Waits until time brings no more states: the run is over, or stays in its last state.
    pub async fn finished(&self) {
        let mut changes = self.scenarios.changes();
        while !self.scenarios.is_settled(&self.name, self.number) {
            // The sender lives as long as the scenarios.
            let _ = changes.changed().await;
        }
    }
}
