//! Scenarios: timelines of what Google Compute Engine does to a machine, such as a preemption.
//!
//! `definition.rs` is a scenario, `builtin/` has the built-in ones, a file each. `engine.rs` holds the runs and the task that drives
//! them: a run (`run.rs`) enters states by its timeline (`timeline.rs`), publishes a merge patch per state, and puts back what it has
//! changed (`touched.rs`). Effects other than metadata are ports (`effects.rs`) and events (`event.rs`).

mod builtin;
mod catalog;
mod definition;
mod effects;
mod engine;
mod error;
mod event;
mod facts;
mod library;
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
pub use effects::Reachability;
pub use engine::Scenarios;
pub use error::ScenarioError;
pub use event::{EndReason, ScenarioEvent};
pub use library::{ScenarioBuilder, ScenarioRun};
pub(crate) use options::RunOptions;
pub use signal::Signal;
