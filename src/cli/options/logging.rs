//! Options for the level and the format of the log.

use crate::cli::values::number;
use clap::{Args, ValueEnum};
use tracing::Level;
use tracing_subscriber::filter::Targets;

#[derive(Debug, Args)]
#[command(next_help_heading = "Logging Options")]
pub(crate) struct Logging {
    /// Log level: 0 is info, 1 to 9 is debug, 10 and above is trace. For exec, 0 is warn and 1 is info
    #[arg(short, long = "v", default_value_t = 0, value_name = "LEVEL", value_parser = number::<u32>, num_args = 0..=1,
        default_missing_value = "1")]
    v: u32,

    /// Format of log lines
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,

    /// Accepted for compatibility: logs always go to stderr
    #[arg(long)]
    logtostderr: bool,

    /// Accepted for compatibility: logs always go to stderr
    #[arg(long)]
    alsologtostderr: bool,

    /// Accepted for compatibility: glog's other options have no effect
    #[arg(long, hide = true, aliases = ["log_dir", "log_link", "log_backtrace_at", "vmodule", "logbuflevel"])]
    stderrthreshold: Vec<String>,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Logging {
    pub(crate) fn format(&self) -> LogFormat {
        self.log_format
    }

    /// The filter of `-v`, with this level for 0.
    pub(crate) fn filter(&self, default: Level) -> Targets {
        let level = match self.v {
            0 => default,
            1 if default == Level::WARN => Level::INFO,
            1..=9 => Level::DEBUG,
            _ => Level::TRACE,
        };
        Targets::new().with_default(level)
    }
}
