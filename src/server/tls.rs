//! HTTPS with client certificates, as GCE's metadata server has it on port 443.

mod client_trust;
mod clock;
mod expiry;
mod failure_log;
mod files;
mod follow;
mod handshake;
mod mds_client_certificate;
mod mint;
mod peer;
mod renew;
mod serving;
mod tls_error;

pub(super) use follow::{Opened, open};
pub(super) use handshake::Tls;
pub(super) use mds_client_certificate::MdsClientCertificate;
pub(super) use peer::{Peer, PlainPeer};
pub use tls_error::TlsError;

use gce_metadata_layers::AllowedPeers;
use gce_metadata_signer::EndorsementKey;
use std::path::PathBuf;

/// How HTTPS with client certificates is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MtlsOptions {
    /// The certificates, and who is believed.
    pub certificates: Certificates,
    /// The clients that are welcome, of those that have a valid certificate.
    pub allowed: AllowedPeers,
}

impl MtlsOptions {
    /// HTTPS with these certificates, for every client that has a valid one.
    pub fn new(certificates: Certificates) -> Self {
        Self { certificates, allowed: AllowedPeers::all() }
    }

    /// For these clients only, by a common name, a DNS name, an IP address, a URI or a SHA-256 fingerprint in hex. An empty list
    /// is nobody.
    pub fn allowed(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { allowed: AllowedPeers::only(names), ..self }
    }

    /// What the metadata lists beside what is in it.
    pub(super) fn listed(&self) -> Option<&'static str> {
        let is_sealed = matches!(&self.certificates, Certificates::Minted(folder) if folder.endorsement_key.is_some());
        is_sealed.then_some(MdsClientCertificate::PATH)
    }
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Certificates {
    /// PEM files. When one changes, it is read again. One that can't be used then changes nothing, and does not keep the
    /// others from being taken over.
    Files {
        /// The server's certificate, followed by those that lead to the root.
        certificate: PathBuf,
        /// Its private key: PKCS#8, PKCS#1 or SEC1; RSA or EC.
        key: PathBuf,
        /// The roots that client certificates lead to.
        client_roots: PathBuf,
        /// The revocation lists (CRLs of version 2) of the clients' authorities. An open connection of a client that is
        /// revoked is closed at its next request.
        revoked: Option<PathBuf>,
    },
    /// Made at start, and replaced by new ones before they expire.
    Minted(MdsFolder),
}

/// A folder of certificates as Google's libraries read them: `root.crt`, and `client.key` with certificate and key.
#[derive(Debug, Clone)]
pub struct MdsFolder {
    path: PathBuf,
    client: Option<String>,
    endorsement_key: Option<EndorsementKey>,
    key_mode: u32,
}

impl MdsFolder {
    /// The folder at this path, which is made if it is not there. Its client is the VM that the metadata is of: `instance/name`,
    /// and its DNS names. Nobody but the server's user can read the client's key.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), client: None, endorsement_key: None, key_mode: 0o600 }
    }

    /// For a client of this name.
    pub fn client(self, name: impl Into<String>) -> Self {
        Self { client: Some(name.into()), ..self }
    }

    /// For a VM whose TPM has this endorsement key: `instance/credentials/mds-client-certificate` has the client's certificate
    /// and key, sealed to that TPM.
    pub fn endorsement_key(self, key: EndorsementKey) -> Self {
        Self { endorsement_key: Some(key), ..self }
    }

    /// With this mode for the file that has the client's key, such as `0o640`.
    pub fn key_mode(self, mode: u32) -> Self {
        Self { key_mode: mode, ..self }
    }
}
