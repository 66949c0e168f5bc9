//! The config file, which says *what* is served, and the environment. The program's options, which say *how* it runs, are in
//! `cli/`.

mod diagnostics;
mod document;
mod duplicate_keys;
mod env;
mod file;
pub(crate) mod json;
mod locate;

pub use diagnostics::Remark;
pub use document::ConfigDocument;
pub use env::{Environment, EnvironmentError, Overrides};
pub use file::{ConfigError, ConfigFile};
