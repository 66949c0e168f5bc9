//! A client with a certificate: HTTPS to the metadata server, with the certificates that a VM has in `/run/google-mds-mtls`.
//!
//! ```console
//! $ gce-metadata-server --tls-port 8443 --mds-mtls-dir /tmp/mds &
//! $ cargo run --example mtls_client /tmp/mds 127.0.0.1:8443 project/project-id
//! ```

#![allow(clippy::print_stdout)]

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Reads the value at a path below `/computeMetadata/v1/`.
async fn get(folder: &Path, address: &str, path: &str) -> Result<String, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("root.crt"))?)?;
    // One file has the certificate and the key.
    let combined = folder.join("client.key");
    let (chain, key) = (vec![CertificateDer::from_pem_file(&combined)?], PrivateKeyDer::from_pem_file(&combined)?);
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    let name = "metadata.google.internal".try_into()?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("/computeMetadata/v1/{path}"))
        .header("host", "metadata.google.internal")
        .header("metadata-flavor", "Google");
    let body = sender.send_request(request.body(Empty::<Bytes>::new())?).await?.into_body().collect().await?;
    Ok(String::from_utf8(body.to_bytes().to_vec())?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().collect();
    let [_, folder, address, path] = args.as_slice() else {
        return Err("usage: mtls_client FOLDER HOST:PORT PATH".into());
    };
    println!("{}", get(folder.as_ref(), address, path).await?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gce_metadata_server::{Certificates, MdsFolder, MtlsOptions, Server};

    #[tokio::test]
    async fn a_vm_reads_its_metadata_over_mtls() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let certificates = Certificates::Minted(MdsFolder::new(folder.path()));
        let server = Server::builder().mtls(MtlsOptions::new(certificates)).start().await?;
        let address = server.address().to_string();
        assert_eq!(get(folder.path(), &address, "project/project-id").await?, "sample-project");
        Ok(())
    }
}
