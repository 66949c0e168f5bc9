//! The start message of `serve`: the addresses, as comments and `export` lines that can be pasted into a shell.

use gce_metadata_server::Server;
use std::io::Write;

/// Google's libraries refuse HTTPS at any other address, so `GCE_METADATA_HOST` must stay unset.
const HTTPS_ONLY: &str = "\
# Only clients with a certificate are served. Google's libraries need the address metadata.google.internal:443, the
# certificates in /run/google-mds-mtls (--mds-mtls-dir), no GCE_METADATA_HOST, and:
export GCE_METADATA_MTLS_MODE=strict
";

/// Prints the addresses and the environment variables for clients on standard output, and logs that the server listens.
pub(super) fn announce(source: &str, server: &Server) {
    let mut out = std::io::stdout();
    let at = server.url().unwrap_or_else(|| server.address().to_string());
    let mut lines = format!("# Serving {source} at {at}\n");
    let has_http = server.tls_address() != Some(server.address());
    if has_http {
        for (name, value) in server.env().into_iter().filter(|(name, _)| *name != "GCE_METADATA_ROOT") {
            lines.push_str(&format!("export {name}={value}\n"));
        }
    } else {
        lines.push_str(HTTPS_ONLY);
    }
    if let Some(url) = server.admin_url() {
        lines.push_str(&format!("export GCE_METADATA_ADMIN={url}\n"));
    }
    if let Some(address) = server.tls_address().filter(|_| has_http) {
        lines.push_str(&format!("# HTTPS for clients with a certificate at https://{address}\n"));
    }
    if let Some(address) = server.metrics_address() {
        lines.push_str(&format!("# Metrics and health at http://{address}\n"));
    }
    // The server also runs with standard output closed.
    let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %server.address(), "listening");
}
