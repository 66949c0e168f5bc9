//! What `serve` prints when it serves: where, as lines that can be pasted into a shell.

use gce_metadata_server::Server;
use std::io::Write;

/// Prints the addresses and the variables for clients on standard output, and logs that the server listens.
pub(super) fn announce(source: &str, server: &Server) {
    let mut out = std::io::stdout();
    let at = server.url().unwrap_or_else(|| server.address().to_string());
    let mut lines = format!("# Serving {source} at {at}\n");
    let exports = server.env().into_iter().filter(|(name, _)| *name != "GCE_METADATA_ROOT");
    for (name, value) in exports {
        lines.push_str(&format!("export {name}={value}\n"));
    }
    if let Some(address) = server.tls_address().filter(|address| *address != server.address()) {
        lines.push_str(&format!("# HTTPS, with client certificates, at https://{address}\n"));
    }
    if let Some(address) = server.metrics_address() {
        lines.push_str(&format!("# Metrics and health at http://{address}\n"));
    }
    // A closed standard output is no reason not to serve.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %server.address(), "listening");
}
