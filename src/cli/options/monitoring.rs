//! Options of the metrics listener.

use super::ignored;
use crate::cli::values::{address, metrics_path, port};
use clap::Args;
use gce_metadata_server::ServerBuilder;

#[derive(Debug, Args)]
#[command(next_help_heading = "Monitoring Options")]
pub(crate) struct Monitoring {
    /// Serve metrics, /healthz and /readyz on a separate listener
    #[arg(long, visible_alias = "metricsEnabled")]
    metrics_enabled: bool,

    /// IP address or host name of the metrics listener [default: 127.0.0.1]
    #[arg(long, visible_alias = "metricsInterface", value_name = "ADDRESS")]
    metrics_interface: Option<String>,

    /// Port of the metrics listener; 0 is any free port [default: 9000]
    #[arg(long, visible_alias = "metricsPort", value_name = "PORT", value_parser = port)]
    metrics_port: Option<u16>,

    /// Path of the metrics [default: /metrics]
    #[arg(long, visible_alias = "metricsPath", value_name = "PATH", value_parser = metrics_path)]
    metrics_path: Option<String>,
}

impl Monitoring {
    pub(super) fn apply(&self, builder: ServerBuilder) -> anyhow::Result<ServerBuilder> {
        if !self.metrics_enabled {
            return Ok(builder);
        }
        let interface = self.metrics_interface.as_deref().unwrap_or("127.0.0.1");
        let at = address("--metrics-interface", interface, self.metrics_port.unwrap_or(9000))?;
        Ok(builder.metrics(at, self.metrics_path.as_deref().unwrap_or("/metrics")))
    }

    /// A warning about options that are given without effect.
    pub(super) fn without_effect(&self) -> Option<String> {
        let listener = [
            ("--metrics-interface", self.metrics_interface.is_some()),
            ("--metrics-port", self.metrics_port.is_some()),
            ("--metrics-path", self.metrics_path.is_some()),
        ];
        if self.metrics_enabled { None } else { ignored(&listener, "add --metrics-enabled") }
    }
}
