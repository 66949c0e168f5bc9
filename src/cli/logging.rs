//! Initialises logging to standard error or to a file, as text or as JSON.

use super::log_fields::ReadableFields;
use super::options::{LogFormat, Logging};
use anyhow::Context;
use std::fs::File;
use std::io::IsTerminal;
use std::str::FromStr;
use std::sync::Arc;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};
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
        // Our errors contain their messages. tss-esapi also logs every connection to the TPM.
        None => {
            logging.filter(default).with_target("tss_esapi", LevelFilter::OFF).with_target("cryptoki", LevelFilter::OFF)
        }
    };
    // If the log file is in the watched folder of the config, each debug line of `notify` would cause the next event. It warns about
    // each watch that ended with its folder, such as those of a Kubernetes volume.
    let filter = filter.with_target("notify", Level::ERROR);
    let filter = filter.and(filter_fn(is_loggable).with_max_level_hint(LevelFilter::TRACE));
    let lines = fmt::layer().with_writer(writer(logging)?);
    let is_terminal = logging.target().is_none() && std::io::stderr().is_terminal();
    let lines = match logging.format() {
        LogFormat::Text => lines.fmt_fields(ReadableFields).with_ansi(is_terminal).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
    Ok(())
}

/// The destination of the log. A file is opened for appending, so that log rotation can truncate it.
fn writer(logging: &Logging) -> anyhow::Result<BoxMakeWriter> {
    let Some(path) = logging.target() else { return Ok(BoxMakeWriter::new(std::io::stderr)) };
    let file = File::options().append(true).create(true).open(path);
    let file = Arc::new(file.with_context(|| format!("--log-target {}", path.display()))?);
    Ok(match logging.also_to_stderr() {
        true => BoxMakeWriter::new(file.and(std::io::stderr)),
        false => BoxMakeWriter::new(file),
    })
}

/// Rejects events that contain secrets: aws_sigv4 logs requests with their session token below level info.
fn is_loggable(event: &Metadata<'_>) -> bool {
    !event.target().starts_with("aws_sigv4") || *event.level() <= Level::INFO
}
