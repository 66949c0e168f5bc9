//! Initialises logging to standard error, as text or as JSON.

use super::options::{LogFormat, Logging};
use anyhow::Context;
use std::io::IsTerminal;
use std::str::FromStr;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Installs the global subscriber for a server. `RUST_LOG` overrides `-v`.
pub(super) fn start(logging: &Logging, rust_log: Option<&str>) -> anyhow::Result<()> {
    start_at(Level::INFO, logging, rust_log)
}

/// Installs the global subscriber, with this level if no option sets one.
pub(super) fn start_at(default: Level, logging: &Logging, rust_log: Option<&str>) -> anyhow::Result<()> {
    let filter = match rust_log {
        Some(filter) => Targets::from_str(filter).with_context(|| {
            format!("environment variable RUST_LOG: `{filter}` is not a log filter; examples are debug and hyper=trace")
        })?,
        // Our errors contain tss-esapi's messages, and it logs every connection to the TPM.
        None => logging.filter(default).with_target("tss_esapi", LevelFilter::OFF),
    };
    // If the log file is in the watched folder of the config, each debug line of `notify` would cause the next event.
    let filter = filter.with_target("notify", Level::INFO);
    let filter = filter.and(filter_fn(is_loggable).with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match logging.format() {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}

/// Rejects events that contain secrets: aws_sigv4 logs requests with their session token below level info.
fn is_loggable(event: &Metadata<'_>) -> bool {
    !event.target().starts_with("aws_sigv4") || *event.level() <= Level::INFO
}
