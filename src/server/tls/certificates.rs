//! From certificates to what rustls wants.

use super::Certificates;
use super::mds_client_certificate::MdsClientCertificate;
use super::mint::Mint;
use crate::certs::{MintError, SealError};
use crate::files::{self, Limit};
use gce_metadata_routes::Reader;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use zeroize::Zeroizing;

/// Why HTTPS can't be served. The path is that of the file to look at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A certificate could not be made.
    #[error(transparent)]
    Mint(#[from] MintError),
}

impl From<SealError> for TlsError {
    fn from(error: SealError) -> Self {
        Self::Mint(error.into())
    }
}

impl TlsError {
    pub(super) fn at(path: &Path, problem: impl fmt::Display) -> Self {
        Self::File { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Where certificates come from, again and again.
pub(super) enum Source {
    Files(Files),
    Minted(Box<Mint>),
}

pub(super) struct Files {
    certificate: PathBuf,
    key: PathBuf,
    client_roots: PathBuf,
    revoked: Option<PathBuf>,
}

impl Source {
    /// The authority, if there is to be one, is made once: clients keep its root for as long as the server runs.
    pub(super) fn new(certificates: Certificates, reader: Reader) -> Result<Self, TlsError> {
        Ok(match certificates {
            Certificates::Files { certificate, key, client_roots, revoked } => {
                Self::Files(Files { certificate, key, client_roots, revoked })
            }
            Certificates::Minted(folder) => Self::Minted(Box::new(Mint::new(folder, reader)?)),
        })
    }

    /// Loads the certificates, or makes new ones.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        match self {
            Self::Files(files) => files.load(),
            Self::Minted(mint) => mint.make(),
        }
    }

    /// What the VM's own TPM opens, if it is known.
    pub(super) fn mds_client_certificate(&self) -> Option<MdsClientCertificate> {
        match self {
            Self::Files(_) => None,
            Self::Minted(mint) => mint.sealed.clone(),
        }
    }

    /// The files whose changes matter.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files(Files { certificate, key, client_roots, revoked }) => {
                [certificate, key, client_roots].into_iter().chain(revoked).cloned().collect()
            }
            Self::Minted(_) => Vec::new(),
        }
    }
}

impl Files {
    fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        const KEY: &str = "private key (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY, without a password)";
        let key = all::<PrivateKeyDer<'static>>(&self.key, KEY, Limit::PEM)?.swap_remove(0);
        let material = Material {
            chain: all(&self.certificate, "CERTIFICATE", Limit::PEM)?,
            key,
            roots: all(&self.client_roots, "CERTIFICATE", Limit::ROOTS)?,
            revoked: match &self.revoked {
                Some(path) => all(path, "X509 CRL", Limit::REVOCATION_LIST)?,
                None => Vec::new(),
            },
        };
        material.config().map_err(|(part, problem)| match part {
            Part::Pair => TlsError::at(&self.certificate, format!("{problem} (with the key {})", self.key.display())),
            Part::Roots => TlsError::at(&self.client_roots, problem),
            Part::Revoked => TlsError::at(self.revoked.as_deref().unwrap_or(&self.client_roots), problem),
        })
    }
}

/// What HTTPS is served with.
pub(super) struct Material {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) roots: Vec<CertificateDer<'static>>,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// What a mistake is about.
pub(super) enum Part {
    Pair,
    Roots,
    Revoked,
}

impl Material {
    pub(super) fn config(self) -> Result<Arc<ServerConfig>, (Part, String)> {
        let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
        let mut store = RootCertStore::empty();
        for root in self.roots {
            store.add(root).map_err(|error| (Part::Roots, error.to_string()))?;
        }
        let about = if self.revoked.is_empty() { Part::Roots } else { Part::Revoked };
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
            .with_crls(self.revoked)
            // A list says who is revoked, and nothing of those whose issuer publishes none.
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| (about, error.to_string()))?;
        let pair = |error: tokio_rustls::rustls::Error| (Part::Pair, error.to_string());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain, self.key)
            .map_err(pair)?;
        // A session that is resumed is not verified again: its certificate may have expired since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Everything of this kind in a PEM file; nothing is a mistake.
fn all<T: PemObject>(path: &Path, label: &str, limit: Limit) -> Result<Vec<T>, TlsError> {
    let pem = files::read(path, limit).map(Zeroizing::new).map_err(|error| TlsError::at(path, error))?;
    let items = T::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| TlsError::at(path, error))?;
    if items.is_empty() { Err(TlsError::at(path, format!("no {label} in PEM"))) } else { Ok(items) }
}
