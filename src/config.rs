//! The config file, which defines the metadata, and the environment variables. The options of the program are in `cli/`.

mod diagnostics;
mod document;
mod duplicate_keys;
mod env;
mod file;
pub(crate) mod json;
mod locate;
mod schema;
mod variables;

pub use diagnostics::Diagnostic;
pub(crate) use diagnostics::duplicate_keys_of;
pub use document::ConfigDocument;
pub use env::{Environment, EnvironmentError, Overrides};
pub use file::{ConfigError, ConfigFile};
pub use variables::Variables;
