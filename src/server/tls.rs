//! HTTPS with client certificates, as GCE's metadata server has it on port 443.

mod certificates;
mod follow;
mod handshake;
mod mds_client_certificate;
mod mint;

pub use certificates::TlsError;
pub(super) use follow::{Opened, open};
pub(super) use handshake::{Handshake, Tls};
pub(super) use mds_client_certificate::MdsClientCertificate;

use crate::certs::EndorsementKey;
use std::path::PathBuf;

/// How HTTPS with client certificates is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MtlsOptions {
    /// The certificates, and who is believed.
    pub certificates: Certificates,
    /// The clients that are welcome, by a common name, a DNS name, an IP address, a URI or a SHA-256 fingerprint in hex.
    /// An empty list is everybody with a valid certificate.
    pub allowed: Vec<String>,
}

impl MtlsOptions {
    /// HTTPS with these certificates, for every client that has a valid one.
    pub fn new(certificates: Certificates) -> Self {
        Self { certificates, allowed: Vec::new() }
    }

    /// For these clients only.
    pub fn allowed(self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        Self { allowed: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// What the metadata lists beside what is in it.
    pub(super) fn listed(&self) -> Option<&'static str> {
        let is_sealed = matches!(self.certificates, Certificates::Minted { endorsement_key: Some(_), .. });
        is_sealed.then_some(MdsClientCertificate::PATH)
    }
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Certificates {
    /// PEM files. When they change, they are read again.
    Files {
        /// The server's certificate, followed by those that lead to the root.
        certificate: PathBuf,
        /// Its private key: PKCS#8, PKCS#1 or SEC1; RSA or EC.
        key: PathBuf,
        /// The roots that client certificates lead to.
        client_roots: PathBuf,
        /// The certificates that are revoked.
        revoked: Option<PathBuf>,
    },
    /// Made at start, and kept in this folder as Google's libraries read them: `root.crt`, and `client.key` with
    /// certificate and key. They are replaced by new ones before they expire.
    Minted {
        /// The folder.
        folder: PathBuf,
        /// The name of the client. Without one, it is the VM that the metadata is of: `instance/name`, and its DNS names.
        client: Option<String>,
        /// The endorsement key of the VM's TPM. With it, `instance/credentials/mds-client-certificate` has the client's
        /// certificate and key, sealed to that TPM.
        endorsement_key: Option<EndorsementKey>,
    },
}
