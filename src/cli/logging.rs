//! Log lines go to standard error, as text or as JSON.

use super::options::{LogFormat, Logging};
use anyhow::Context;
use std::io::IsTerminal;
use std::str::FromStr;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// Starts logging. `RUST_LOG` overrides `-v`.
pub(super) fn start(logging: &Logging, rust_log: Option<&str>) -> anyhow::Result<()> {
    let filter = match rust_log {
        Some(filter) => Targets::from_str(filter).with_context(|| {
            format!("environment variable RUST_LOG: `{filter}` is no filter such as debug or hyper=trace")
        })?,
        // tss-esapi's messages are in our errors already, and it logs each connection that it opens.
        None => logging.filter().with_target("tss_esapi", LevelFilter::OFF),
    };
    // A log file in the folder of the config causes an event of the watch; a log line for that would cause the next event.
    let filter = filter.with_target("notify", Level::INFO);
    let filter = filter.and(filter_fn(is_harmless).with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match logging.format() {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}

/// Whether the event may be logged at all: aws_sigv4 logs requests with their session token at levels below info.
fn is_harmless(event: &Metadata<'_>) -> bool {
    !event.target().starts_with("aws_sigv4") || *event.level() <= Level::INFO
}
