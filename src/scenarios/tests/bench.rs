//! Scenarios without a server, whose faults are recorded.

use crate::events::Events;
use crate::faults::FaultError;
use crate::scenarios::effects::{FaultGuard, FaultPort};
use crate::scenarios::{Definition, Ports, RunOptions, ScenarioError, ScenarioEvent, Scenarios};
use crate::server::NotReady;
use gce_metadata_routes::{Metadata, Publisher, Tree};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast::Receiver;

/// The faults in force, by their names. A fault without a name is refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeFaults(Arc<Mutex<Vec<String>>>);

impl FakeFaults {
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl FaultPort for FakeFaults {
    fn check(&self, mapping: &Value) -> Result<(), FaultError> {
        let refused = || FaultError { pointer: "/name".to_owned(), detail: "a name is expected".to_owned() };
        mapping["name"].as_str().map(|_| ()).ok_or_else(refused)
    }

    fn add(&self, mappings: &[Value]) -> Result<FaultGuard, FaultError> {
        let names: Vec<_> = mappings.iter().map(|mapping| mapping["name"].as_str().unwrap().to_owned()).collect();
        self.0.lock().unwrap().extend(names.clone());
        Ok(Box::new(Installed { faults: self.clone(), names }))
    }
}

struct Installed {
    faults: FakeFaults,
    names: Vec<String>,
}

impl Drop for Installed {
    fn drop(&mut self) {
        self.faults.0.lock().unwrap().retain(|name| !self.names.contains(name));
    }
}

/// Scenarios that are driven in the runtime of the test.
pub(crate) struct Bench {
    pub(crate) scenarios: Scenarios,
    pub(crate) publisher: Publisher,
    pub(crate) faults: FakeFaults,
    pub(crate) before: Tree,
    pub(crate) events: Receiver<ScenarioEvent>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(Metadata::sample().with_attribute("a", "1").tree())
    }

    pub(crate) fn with(before: Tree) -> Self {
        Self::reporting(before, Events::default())
    }

    pub(crate) fn reporting(before: Tree, events: Events) -> Self {
        let (publisher, faults) = (Publisher::new(before.clone()), FakeFaults::default());
        let port = Arc::new(faults.clone());
        let (scenarios, driver) = Scenarios::new(Ports {
            publisher: publisher.clone(),
            faults: port,
            readiness: None,
            journal: None,
            events,
        });
        tokio::spawn(driver.run());
        let events = scenarios.subscribe();
        Self { scenarios, publisher, faults, before, events }
    }

    pub(crate) fn define(&self, name: &str, definition: Value) {
        self.scenarios.define(name, Definition::parse(&definition, "").unwrap()).unwrap();
    }

    pub(crate) fn run(&self, name: &str, options: Value) -> Result<Value, ScenarioError> {
        self.scenarios.run(name, &RunOptions::parse(&options, "").unwrap()).map(|(_, run)| run)
    }

    /// How the runs want clients to be treated; `None` if clients are to reach the server.
    pub(crate) fn not_ready(&self) -> Option<NotReady> {
        self.scenarios.0.not_ready.borrow().not_ready
    }

    pub(crate) fn tree(&self) -> Tree {
        self.publisher.reader().snapshot().tree().clone()
    }

    pub(crate) fn attribute(&self) -> String {
        self.tree().text("instance/attributes/a").unwrap()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.publisher.reader().snapshot().generation()
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.scenarios.get(name).unwrap()["state"].as_str().unwrap().to_owned()
    }

    /// The states that were entered, and the ends, since the last call.
    pub(crate) fn history(&mut self) -> Vec<String> {
        let mut history = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event {
                ScenarioEvent::Started { .. } => {}
                ScenarioEvent::Entered { state, .. } => history.push(state),
                ScenarioEvent::Ended { reason, .. } => history.push(format!("{reason:?}")),
            }
        }
        history
    }
}
