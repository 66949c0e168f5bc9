//! Scenarios over sockets: long polls, refused connections, the routes of the admin API, real clients, and captured changes.

#[cfg(feature = "cli")]
mod captured;
#[cfg(feature = "cli")]
mod clients;
mod library;
mod routes;
