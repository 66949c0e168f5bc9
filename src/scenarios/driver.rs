//! The task that enters the states that time brings, and that switches the readiness of the server as the runs want it.

use super::engine::{Scenarios, Wanted};
use super::run::Run;
use crate::server::{NotReady, Readiness, ReadinessError};
use tokio::sync::watch;
use tokio::time::sleep_until;

/// Drives all runs of a server.
pub(crate) struct Driver {
    scenarios: Scenarios,
    /// Tells the number of the last switch that is done. When the driver ends, callers wait no longer.
    applied: watch::Sender<u64>,
    /// The switch that a run has made, and the readiness before it.
    switched: Option<(NotReady, Option<NotReady>)>,
}

impl Driver {
    pub(super) fn new(scenarios: Scenarios, applied: watch::Sender<u64>) -> Self {
        Self { scenarios, applied, switched: None }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let scenarios = self.scenarios.clone();
        tokio::join!(scenarios.enter_states(), self.switch_readiness());
    }

    /// Follows what the runs want. One task makes all switches, so that they never overlap.
    async fn switch_readiness(&mut self) {
        let mut wanted = self.scenarios.0.not_ready.subscribe();
        wanted.mark_changed();
        while wanted.changed().await.is_ok() {
            let Wanted { number, not_ready } = *wanted.borrow_and_update();
            if let Some(readiness) = self.scenarios.0.ports.readiness.clone()
                && let Err(error) = self.switch(&readiness, not_ready).await
            {
                tracing::error!("a scenario can't change whether clients reach the server: {error}");
            }
            self.applied.send_replace(number);
        }
    }

    async fn switch(&mut self, readiness: &Readiness, wanted: Option<NotReady>) -> Result<(), ReadinessError> {
        match (wanted, self.switched) {
            (Some(wanted), switched) => {
                let before = switched.map_or_else(|| readiness.not_ready(), |(_, before)| before);
                readiness.set_not_ready(wanted).await?;
                self.switched = Some((wanted, before));
            }
            // As a value that was changed meanwhile, a readiness that was changed meanwhile stays.
            (None, Some((own, before))) if readiness.not_ready() == Some(own) => {
                match before {
                    Some(before) => readiness.set_not_ready(before).await?,
                    None => readiness.set_ready().await?,
                }
                self.switched = None;
            }
            (None, _) => self.switched = None,
        }
        Ok(())
    }
}

impl Scenarios {
    async fn enter_states(&self) {
        loop {
            let due = self.lock().runs.values().filter_map(Run::due).min();
            let changed = self.0.changed.notified();
            match due {
                Some(due) => tokio::select! {
                    () = sleep_until(due) => self.pass_due(),
                    () = changed => {}
                },
                None => changed.await,
            }
        }
    }

    /// Waits until the server is as ready as the runs want it now.
    pub(crate) async fn settled(&self) {
        let number = self.0.not_ready.borrow().number;
        // Fails when the server has stopped.
        let _ = self.0.settled.clone().wait_for(|applied| *applied >= number).await;
    }
}
