//! Faults: answers, delays and broken connections that a server injects into requests, so that a test sees what a client does then.
//!
//! A fault is a document: a stub mapping of WireMock with MockServer's members for how often (`definition.rs`, `schedule.rs`), and
//! storage-testbench's words (`instruction.rs`). [`Faults`] has those of one server, decides for each request, and counts. It is the plan
//! of [`InjectFaults`](gce_metadata_layers::InjectFaults) and of the faults of token sources. The admin API and the library change it.

mod builder;
mod definition;
mod delay;
mod effect;
mod error;
mod guard;
mod injected;
mod instruction;
mod members;
mod plan;
mod response;
mod schedule;
mod state;
mod store;
mod view;

pub use builder::Fault;
pub(crate) use definition::Definition;
pub use error::FaultError;
pub use guard::FaultGuard;
pub(crate) use injected::InjectedFault;
pub(crate) use store::Duplicates;
pub use store::{FaultStatus, Faults};

#[cfg(test)]
mod tests;
