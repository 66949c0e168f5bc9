//! Options of the metrics listener.

use crate::cli::values::{address, metrics_path, port};
use clap::Args;
use gce_metadata_server::ServerBuilder;

#[derive(Debug, Args)]
#[command(next_help_heading = "Monitoring Options")]
pub(crate) struct Monitoring {
    /// Serve metrics, /healthz and /readyz on a separate listener
    #[arg(long, visible_alias = "metricsEnabled")]
    metrics_enabled: bool,

    /// IP address or host name of the metrics listener
    #[arg(long, visible_alias = "metricsInterface", default_value = "127.0.0.1", value_name = "ADDRESS")]
    metrics_interface: String,

    /// Port of the metrics listener; 0 is any free port
    #[arg(long, visible_alias = "metricsPort", default_value = "9000", value_name = "PORT", value_parser = port)]
    metrics_port: u16,

    /// Path of the metrics
    #[arg(long, visible_alias = "metricsPath", default_value = "/metrics", value_name = "PATH", value_parser = metrics_path)]
    metrics_path: String,
}

impl Monitoring {
    pub(super) fn apply(&self, builder: ServerBuilder) -> anyhow::Result<ServerBuilder> {
        if !self.metrics_enabled {
            return Ok(builder);
        }
        let at = address("--metrics-interface", &self.metrics_interface, self.metrics_port)?;
        Ok(builder.metrics(at, &self.metrics_path))
    }
}
