//! HTTPS with client certificates, as GCE's metadata server serves on port 443.

mod client_trust;
mod clock;
mod expiry;
mod failure_log;
mod files;
mod follow;
mod handshake;
mod hello;
mod mds_client_certificate;
mod mint;
mod peer;
mod renew;
mod serving;
mod tickets;
mod tls_error;

pub(super) use follow::{Opened, open};
pub(super) use handshake::Tls;
pub(super) use mds_client_certificate::MdsClientCertificate;
pub(super) use peer::{Peer, PlainPeer};
pub use tls_error::TlsError;

use gce_metadata_layers::AllowedPeers;
use gce_metadata_signer::EndorsementKey;
use std::path::PathBuf;

/// Options of HTTPS with client certificates (mutual TLS).
#[derive(Debug, Clone)]
#[must_use]
#[non_exhaustive]
pub struct MtlsOptions {
    /// The server's certificate, and the authorities of client certificates.
    pub certificates: Certificates,
    /// The clients that may read metadata, of those with a valid certificate. Others are answered 403.
    pub allowed: AllowedPeers,
}

impl MtlsOptions {
    /// HTTPS with these certificates. Every client with a valid certificate is allowed.
    pub fn new(certificates: Certificates) -> Self {
        Self { certificates, allowed: AllowedPeers::all() }
    }

    /// Allows only these clients. A name is a common name, a DNS name, an IP address, a URI or a SHA-256 fingerprint in hex. With
    /// an empty list, no client is allowed.
    pub fn allowed(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { allowed: AllowedPeers::only(names), ..self }
    }

    /// The path of the client certificate, if it is served: listings must include it.
    pub(super) fn computed_path(&self) -> Option<&'static str> {
        let is_sealed = matches!(&self.certificates, Certificates::Minted(folder) if folder.endorsement_key.is_some());
        is_sealed.then_some(MdsClientCertificate::PATH)
    }
}

/// The source of the server's certificate.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Certificates {
    /// PEM files, which are reloaded when they change. A file that becomes invalid keeps its previous content in use, and does
    /// not prevent the reload of the others.
    Files {
        /// The server's certificate chain, its own certificate first.
        certificate: PathBuf,
        /// Its private key: PKCS#8, PKCS#1 or SEC1; RSA or EC.
        key: PathBuf,
        /// The CA certificates that client certificates must chain to.
        client_roots: PathBuf,
        /// The certificate revocation lists (version 2 CRLs) of the client CAs. An open connection of a revoked client is closed
        /// at its next request.
        revoked: Option<PathBuf>,
    },
    /// Certificates that the server issues at start, and renews before they expire.
    Minted(MdsFolder),
}

/// A folder of certificates that the server issues, as Google's libraries read them: `root.crt`, and `client.key` with the
/// client's certificate and key.
#[derive(Debug, Clone)]
#[must_use]
pub struct MdsFolder {
    path: PathBuf,
    client: Option<String>,
    endorsement_key: Option<EndorsementKey>,
    key_mode: u32,
}

impl MdsFolder {
    /// The folder at this path, which is created if it does not exist. The client certificate is issued to the VM of the
    /// metadata: `instance/name` and its DNS names. The file with the client's key has the mode `0o600`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), client: None, endorsement_key: None, key_mode: 0o600 }
    }

    /// Issues the client certificate to this name instead of the VM's.
    pub fn client(self, name: impl Into<String>) -> Self {
        Self { client: Some(name.into()), ..self }
    }

    /// Serves `instance/credentials/mds-client-certificate`: the client's certificate and key, sealed to the TPM that has this
    /// endorsement key.
    pub fn endorsement_key(self, key: EndorsementKey) -> Self {
        Self { endorsement_key: Some(key), ..self }
    }

    /// Sets the mode of the file with the client's key, such as `0o640`.
    pub fn key_mode(self, mode: u32) -> Self {
        Self { key_mode: mode, ..self }
    }
}
