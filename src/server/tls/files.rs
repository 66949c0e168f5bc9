//! Loads and reloads certificates in PEM files. Each file is reloaded independently of the others.

use super::client_trust::ClientRoots;
use super::serving::{ServerPair, Serving, server_pair};
use super::tls_error::TlsError;
use crate::files::{self, Limit};
use gce_metadata_signer::KeyError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// The paths of the files.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    pub(super) client_roots: PathBuf,
    pub(super) revoked: Option<PathBuf>,
}

/// The last valid content of the files.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    pub(super) pair: ServerPair,
    pub(super) roots: ClientRoots,
    pub(super) revoked: Vec<CertificateRevocationListDer<'static>>,
    pub(super) serving: Arc<Serving>,
}

/// The outcome of a reload.
pub(super) struct Reloaded {
    /// The new parts that are valid, and the previous ones in place of the others.
    pub(super) loaded: Loaded,
    /// The files whose new content is used.
    pub(super) changed: Vec<PathBuf>,
    /// The errors of the other files, one for each part.
    pub(super) errors: Vec<TlsError>,
}

type PairParts = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Files {
    /// Reads all files for the first time. All must be valid.
    pub(super) fn load(&self) -> Result<Loaded, TlsError> {
        let (parts, roots) = (self.pair_parts()?, self.roots()?);
        let (revoked, pair) = (self.revoked(&roots)?, self.pair_of(parts)?);
        let serving = self.serving(&pair, &roots, &revoked)?;
        Ok(Loaded { pair, roots, revoked, serving: Arc::new(serving) })
    }

    /// Reloads all files. An invalid part keeps its previous content. So a revocation takes effect while the server's certificate
    /// is invalid, and a missing revocation list still revokes what it did.
    pub(super) fn reload(&self, before: &Loaded) -> Reloaded {
        let mut reloaded = Reloaded { loaded: before.clone(), changed: Vec::new(), errors: Vec::new() };
        // Equal certificates have equal keys.
        let is_same = |pair: &ServerPair| pair.cert == before.pair.cert;
        if let Some(pair) = reloaded.changed_part(&self.certificate, self.pair(), is_same) {
            reloaded.loaded.pair = pair;
        }
        let is_same = |roots: &ClientRoots| roots.certificates == before.roots.certificates;
        if let Some(roots) = reloaded.changed_part(&self.client_roots, self.roots(), is_same) {
            reloaded.loaded.roots = roots;
        }
        if let Some(path) = &self.revoked {
            let revoked = self.revoked(&reloaded.loaded.roots);
            if let Some(revoked) = reloaded.changed_part(path, revoked, |revoked| *revoked == before.revoked) {
                reloaded.loaded.revoked = revoked;
            }
        }
        if reloaded.changed.is_empty() {
            return reloaded;
        }
        let Loaded { pair, roots, revoked, .. } = &reloaded.loaded;
        let is_trust_same = roots.certificates == before.roots.certificates && *revoked == before.revoked;
        let serving = match is_trust_same {
            // The same verifier, so that open connections are not verified again.
            true => Serving::new(Arc::clone(pair), Arc::clone(&before.serving.verifier))
                .map_err(|error| TlsError::at(&self.certificate, error)),
            false => self.serving(pair, roots, revoked),
        };
        match serving {
            Ok(serving) => reloaded.loaded.serving = Arc::new(serving),
            Err(error) => return Reloaded { loaded: before.clone(), changed: Vec::new(), errors: vec![error] },
        }
        reloaded
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let Self { certificate, key, client_roots, revoked } = self;
        [certificate, key, client_roots].into_iter().chain(revoked).cloned().collect()
    }

    fn pair(&self) -> Result<ServerPair, TlsError> {
        self.pair_of(self.pair_parts()?)
    }

    /// Certificate and key. It is not checked that they belong together.
    fn pair_parts(&self) -> Result<PairParts, TlsError> {
        const KEY: &str = "private key (PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY, without a password)";
        let key = all::<PrivateKeyDer<'static>>(&self.key, KEY, Limit::PEM)?.swap_remove(0);
        Ok((all(&self.certificate, "CERTIFICATE", Limit::PEM)?, key))
    }

    fn pair_of(&self, (chain, key): PairParts) -> Result<ServerPair, TlsError> {
        server_pair(chain, key).map_err(|error| match error {
            Error::InconsistentKeys(_) => {
                TlsError::at(&self.key, format!("not the private key of {}", self.certificate.display()))
            }
            error => TlsError::at(&self.certificate, format!("{error} (with the key {})", self.key.display())),
        })
    }

    fn roots(&self) -> Result<ClientRoots, TlsError> {
        let certificates = all(&self.client_roots, "CERTIFICATE", Limit::ROOTS)?;
        ClientRoots::new(certificates).map_err(|error| TlsError::at(&self.client_roots, error))
    }

    fn revoked(&self, roots: &ClientRoots) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let Some(path) = &self.revoked else { return Ok(Vec::new()) };
        let revoked = all(path, "X509 CRL", Limit::REVOCATION_LIST)?;
        roots.verifier(&revoked).map_err(|problem| TlsError::at(path, problem))?;
        Ok(revoked)
    }

    fn serving(
        &self,
        pair: &ServerPair,
        roots: &ClientRoots,
        revoked: &[CertificateRevocationListDer<'static>],
    ) -> Result<Serving, TlsError> {
        let list = self.revoked.as_ref().unwrap_or(&self.client_roots);
        let verifier = roots.verifier(revoked).map_err(|problem| TlsError::at(list, problem))?;
        Serving::new(Arc::clone(pair), verifier).map_err(|error| TlsError::at(&self.certificate, error))
    }
}

impl Reloaded {
    /// Returns the part if it is valid and has changed, and records the change or the error.
    fn changed_part<T>(
        &mut self,
        path: &Path,
        read: Result<T, TlsError>,
        is_same: impl FnOnce(&T) -> bool,
    ) -> Option<T> {
        match read {
            Ok(part) if is_same(&part) => None,
            Ok(part) => {
                self.changed.push(path.to_owned());
                Some(part)
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }
}

/// All items of this type in a PEM file. A file without any is an error.
fn all<T: PemObject>(path: &Path, label: &str, limit: Limit) -> Result<Vec<T>, TlsError> {
    let pem = files::read(path, limit).map(Zeroizing::new).map_err(|error| TlsError::at(path, error))?;
    let items = T::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| TlsError::at(path, error))?;
    if !items.is_empty() {
        return Ok(items);
    }
    let is_encrypted = pem.windows(9).any(|window| window == b"ENCRYPTED");
    Err(TlsError::at(path, if is_encrypted { KeyError::Encrypted.to_string() } else { format!("no {label} in PEM") }))
}
