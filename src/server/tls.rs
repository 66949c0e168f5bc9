//! HTTPS with client certificates, as GCE's metadata server has it on port 443.

mod credentials;
mod follow;
mod handshake;
mod peer;

pub use credentials::TlsError;
pub(super) use follow::open;
pub(super) use handshake::{Handshake, Tls};

use std::path::PathBuf;

/// How HTTPS with client certificates is set up.
#[derive(Debug, Clone)]
pub struct MtlsOptions {
    /// The certificates, and who is believed.
    pub certificates: Certificates,
    /// The clients that are welcome, by a common name, a DNS name, an IP address, a URI or a SHA-256 fingerprint in hex.
    /// An empty list is everybody with a valid certificate.
    pub allowed: Vec<String>,
}

/// Where the server's certificate comes from.
#[derive(Debug, Clone)]
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
        /// The name of the client, usually that of the VM.
        client: String,
        /// The DNS names of the client.
        dns_names: Vec<String>,
    },
}
