//! What a server is told from outside: the config file, which says *what* is served, and the environment. The program's
//! options, which say *how* it runs, are `args.rs`'.

mod check;
mod env;
mod file;
pub(crate) mod json;
mod locate;
mod twice;

pub use check::Remark;
pub use env::{Environment, EnvironmentError, Overrides};
pub use file::{ConfigError, ConfigFile};
