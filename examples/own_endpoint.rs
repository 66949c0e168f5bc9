//! Your own endpoint beside the metadata: it returns the identity of a client of the HTTPS listener.
//!
//! `cargo run --example own_endpoint` serves it; `cargo test --example own_endpoint` is the test.

#![allow(clippy::print_stdout)]

use gce_metadata_server::layers::Rejection;
use gce_metadata_server::routes::endpoint::{Answer, Call, Endpoint, Reply};
use gce_metadata_server::{Certificates, MdsFolder, MtlsOptions, Server, ServerBuilder};
use http::HeaderValue;
use std::error::Error;
use std::path::Path;

/// Answers with the subject of the client's certificate.
struct WhoAmI;

impl Endpoint for WhoAmI {
    fn call(&self, call: Call<'_>) -> Reply {
        let peer = call.head.connection().and_then(|connection| connection.peer.as_deref());
        let answer = peer.map(|peer| Answer::Document {
            body: peer.subject.clone().into(),
            content_type: HeaderValue::from_static("text/plain"),
        });
        answer.ok_or(Rejection::Forbidden).into()
    }
}

/// A server that issues certificates for itself and for `client-1`, and writes them to this folder.
fn server(folder: &Path) -> ServerBuilder {
    let certificates = Certificates::Minted(MdsFolder::new(folder).client("client-1"));
    Server::builder().mtls(MtlsOptions::new(certificates)).with_route("/whoami", WhoAmI)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("own-endpoint");
    let server = server(&folder).start().await?;
    let folder = folder.display();
    println!("curl --cacert {folder}/root.crt --cert {folder}/client.key https://{}/whoami", server.address());
    tokio::signal::ctrl_c().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_endpoint_returns_the_subject_of_the_clients_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let server = server(folder.path()).start_blocking().unwrap();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let port = server.address().port().unwrap();
        let output = Command::new("curl")
            .args(["-sS", "--cacert", &file("root.crt"), "--cert", &file("client.key")])
            .args(["--connect-to", &format!("metadata.google.internal:443:127.0.0.1:{port}")])
            .arg("https://metadata.google.internal/whoami")
            .output()
            .unwrap();
        let subject = String::from_utf8(output.stdout).unwrap();
        assert!(subject.contains("CN=client-1"), "{subject} {}", String::from_utf8_lossy(&output.stderr));
    }
}
