//! What a server simulates from its start on: faults, scenarios, runs of scenarios and settings, from files and from the builder.
//!
//! `document.rs` parses one document, `error.rs` has its errors with line, column and pointer. `sources.rs` reads several documents and
//! combines them. `control.rs` puts the result in force, follows the files, and restores what they say. `settings.rs` is the JSON of
//! settings, which the admin API shares; `check.rs` is the part of `check-config`, and `schema.rs` the JSON Schema.

mod check;
mod control;
mod document;
mod error;
mod schema;
mod settings;
mod sources;

pub use check::SimulationFile;
pub(crate) use control::SimulationControl;
pub use document::Simulation;
pub(crate) use error::Mistake;
pub use error::{ReloadError, SimulationError};
pub(crate) use settings::{CurrentSettings, SettingsDocument};
pub(crate) use sources::{Loaded, Source};
