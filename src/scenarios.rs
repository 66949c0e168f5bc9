//! Scenarios: timelines of what Google Compute Engine does to a machine, such as a preemption.
//!
//! `definition.rs` is a scenario, `builtin/` has the built-in ones, a file each. `engine.rs` holds the runs, and `driver.rs` is
//! the task that time wakes. A run (`run.rs`) enters states by its timeline (`timeline.rs`), publishes a merge patch per state, and puts back what it has
//! changed (`touched.rs`). It reports events (`event.rs`), injects faults through a port (`effects.rs`), and switches the server's readiness.

mod builtin;
mod catalog;
mod definition;
mod driver;
mod effects;
mod engine;
mod error;
mod event;
mod facts;
mod library;
mod listing;
mod options;
mod parameters;
mod parse;
mod placeholders;
mod report;
mod run;
mod signal;
#[cfg(test)]
mod tests;
mod timeline;
mod touched;

pub(crate) use definition::Definition;
pub(crate) use engine::Ports;
pub use engine::Scenarios;
pub use error::ScenarioError;
pub use event::{EndReason, ScenarioEvent};
pub use library::{ScenarioBuilder, ScenarioRun};
pub(crate) use options::RunOptions;
pub use signal::Signal;
