//! Options for the level and the format of the log.

use super::ignored;
use crate::cli::values::number;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use tracing::Level;
use tracing_subscriber::filter::Targets;

#[derive(Debug, Args)]
#[command(next_help_heading = "Logging Options")]
pub(crate) struct Logging {
    /// Log level: up to 0 is info, 1 to 9 is debug, 10 and above is trace; for exec up to 0 is warn and 1 is info [default: 0; 1 without
    /// a number]
    #[arg(short, long = "v", allow_negative_numbers = true, value_name = "LEVEL", value_parser = number::<i64>, num_args = 0..=1,
        default_missing_value = "1")]
    v: Option<i64>,

    /// Log level: error, warn, info, debug or trace; takes precedence over -v, --debug and -q
    #[arg(long, value_name = "LEVEL", ignore_case = true)]
    log_level: Option<LogLevel>,

    /// Log warnings and errors only, and errors only for exec
    #[arg(long, short, conflicts_with_all = ["v", "debug"])]
    quiet: bool,

    /// Log at level debug at least
    #[arg(long)]
    debug: bool,

    /// Format of log lines [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// Log in JSON, as --log-format json does
    #[arg(long, visible_alias = "jsonLog")]
    json_log: bool,

    /// File to append the log to, instead of stderr
    #[arg(long, visible_alias = "logTarget", value_name = "FILE")]
    log_target: Option<PathBuf>,

    /// Log to stderr too if --log-target is given; otherwise logs always go to stderr
    #[arg(long)]
    logtostderr: bool,

    /// The same as --logtostderr
    #[arg(long)]
    alsologtostderr: bool,

    /// Accepted for compatibility: glog's other options have no effect
    #[arg(long, hide = true, aliases = ["log_dir", "log_link", "log_backtrace_at", "vmodule", "logbuflevel"])]
    stderrthreshold: Vec<String>,
}

/// The lowest level of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Logging {
    pub(crate) fn format(&self) -> LogFormat {
        if self.json_log { LogFormat::Json } else { self.log_format.unwrap_or(LogFormat::Text) }
    }

    /// The file of the log, if it does not go to stderr.
    pub(crate) fn target(&self) -> Option<&Path> {
        self.log_target.as_deref()
    }

    /// Whether the log goes to stderr beside its file.
    pub(crate) fn also_to_stderr(&self) -> bool {
        self.logtostderr || self.alsologtostderr
    }

    /// The filter of these options. `default` is the level without options.
    pub(crate) fn filter(&self, default: Level) -> Targets {
        Targets::new().with_default(self.log_level.map_or_else(|| self.level(default), Level::from))
    }

    /// The level of `-v`, `--debug` and `-q`.
    fn level(&self, default: Level) -> Level {
        match self.v.unwrap_or(0) {
            10.. => Level::TRACE,
            1 if default == Level::WARN && !self.debug => Level::INFO,
            1.. => Level::DEBUG,
            _ if self.debug => Level::DEBUG,
            _ if self.quiet && default == Level::WARN => Level::ERROR,
            _ if self.quiet => Level::WARN,
            _ => default,
        }
    }

    /// Warnings about options that are given without effect.
    pub(super) fn without_effect(&self, has_rust_log: bool) -> Vec<String> {
        let names = [("-v", self.v.is_some()), ("--debug", self.debug), ("--quiet", self.quiet)];
        let levels = [&names[..], &[("--log-level", self.log_level.is_some())]].concat();
        let by_rust_log = if has_rust_log { ignored(&levels, "RUST_LOG takes precedence") } else { None };
        let has_level = self.log_level.is_some() && !has_rust_log;
        let by_level = if has_level { ignored(&names, "--log-level takes precedence") } else { None };
        let format = [("--log-format text", self.json_log && self.log_format == Some(LogFormat::Text))];
        let glog = "--stderrthreshold, --log_dir and the other options of glog do nothing: --log-target names a log file, and \
                    RUST_LOG selects modules";
        let warnings = [
            by_rust_log,
            by_level,
            ignored(&format, "--json-log takes precedence"),
            (!self.stderrthreshold.is_empty()).then(|| glog.to_owned()),
        ];
        warnings.into_iter().flatten().collect()
    }
}
