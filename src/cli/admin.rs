//! The commands that read and change a running server by its admin API. Each sends one request and prints the answer.

mod client;
mod metadata;
mod request_line;
mod requests;
mod server;
mod token_status;
mod tokens;
mod url;
mod verify;

pub(super) use metadata::{Get, Patch, Set, Unset};
pub(super) use requests::Requests;
pub(super) use server::{Export, Reset};
pub(super) use tokens::{TokenClear, TokenRotate, TokenSet, TokenStatus};
pub(super) use verify::Verify;

use anyhow::Context;
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, Write};

/// The format of an answer on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Prints JSON over several lines.
fn print_json(value: &Value) -> anyhow::Result<()> {
    print(&format!("{value:#}\n"))
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("can't write to standard output")
}
