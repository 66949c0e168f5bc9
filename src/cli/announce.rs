//! The start message of `serve`: the addresses, as lines for a shell or as JSON. Programs read both, so their form must not change.

use clap::ValueEnum;
use gce_metadata_server::{Address, Server};
use serde_json::{Map, Value};
use std::io::Write;

/// The format of the start message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Announce {
    /// Comments and `export` lines
    Shell,
    /// One line with an object
    Json,
}

/// Google's libraries refuse HTTPS at any other address, so `GCE_METADATA_HOST` must stay unset.
const HTTPS_ONLY: &str = "\
# Only clients with a certificate are served. Google's libraries need the address metadata.google.internal:443, the
# certificates in /run/google-mds-mtls (--mds-mtls-dir), no GCE_METADATA_HOST, and:
export GCE_METADATA_MTLS_MODE=strict
";

/// Prints the start message on standard output, and logs that the server listens. `source` is the source of the config.
pub(super) fn announce(format: Announce, source: &str, server: &Server) {
    let message = match format {
        Announce::Shell => shell(source, server),
        Announce::Json => json(server),
    };
    let mut out = std::io::stdout();
    // The server also runs with standard output closed.
    let _ = out.write_all(message.as_bytes()).and_then(|()| out.flush());
    tracing::info!(address = %server.address(), "listening");
}

/// The addresses as comments, and `export` lines that can be pasted into a shell.
fn shell(source: &str, server: &Server) -> String {
    let at = server.url().unwrap_or_else(|| server.address().to_string());
    let mut lines = format!("# Serving {source} at {at}\n");
    if has_http(server) {
        for (name, value) in server.env() {
            lines.push_str(&format!("export {name}={value}\n"));
        }
    } else {
        lines.push_str(HTTPS_ONLY);
    }
    if let Some(url) = server.admin_url() {
        lines.push_str(&format!("export GCE_METADATA_ADMIN={url}\n"));
    }
    if let Some(address) = server.tls_address().filter(|_| has_http(server)) {
        lines.push_str(&format!("# HTTPS for clients with a certificate at https://{address}\n"));
    }
    if let Some(address) = server.metrics_address() {
        lines.push_str(&format!("# Metrics and health at http://{address}\n"));
    }
    lines
}

/// The addresses as `HOST:PORT`, the URL of the admin API and the process ID, as a JSON object on one line. Listeners that the server
/// does not have, and Unix sockets, are absent.
fn json(server: &Server) -> String {
    let address = |address: Option<&Address>| Some(Value::from(address?.reachable()?.to_string()));
    let members = [
        ("admin", server.admin_url().map(Value::from)),
        ("host", address(Some(server.address()).filter(|_| has_http(server)))),
        ("metrics", address(server.metrics_address())),
        ("pid", Some(std::process::id().into())),
        ("tls", address(server.tls_address())),
    ];
    let present = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    format!("{}\n", Value::Object(present.collect::<Map<_, _>>()))
}

/// Whether the main listener serves HTTP, so that `GCE_METADATA_HOST` may name it.
fn has_http(server: &Server) -> bool {
    server.tls_address() != Some(server.address())
}
