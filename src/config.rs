//! What the process was told, without contradictions: the command line and the environment end here.
//!
//! The config file says *what* is served, this says *how* the process runs.

mod check;
mod env;
mod file;
pub(crate) mod json;
mod locate;
mod twice;

pub use check::Remark;
#[cfg(feature = "live")]
pub(crate) use env::PASSWORDS;
pub use env::{Environment, EnvironmentError, Overrides};
pub use file::{ConfigError, ConfigFile};
