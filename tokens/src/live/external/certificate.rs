//! A certificate as the subject token: the TLS handshake proves possession of its key, and its leaf identifies the
//! workload.

use crate::live::error::Problem;
use crate::live::open_context::OpenContext;
use crate::live::upstream::Upstream;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use gce_metadata_routes::token::Secret;
use gce_metadata_support::file::{self, Limit};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

#[derive(Deserialize)]
pub(super) struct CertificateSource {
    certificate_config_location: Option<PathBuf>,
    #[serde(default)]
    use_default_certificate_config: bool,
    trust_chain_path: Option<PathBuf>,
}

/// gcloud's `certificate_config.json`.
#[derive(Deserialize)]
struct Config {
    cert_configs: Configs,
}

#[derive(Deserialize)]
struct Configs {
    workload: Workload,
}

#[derive(Deserialize)]
struct Workload {
    cert_path: PathBuf,
    key_path: PathBuf,
}

/// An opened certificate.
pub(super) struct CertificateIdentity {
    /// The client that presents the certificate.
    pub(super) upstream: Upstream,
    /// The chain as a subject token: a JSON list of DER in base64, the leaf first.
    pub(super) chain: Secret,
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn open(source: &CertificateSource, context: &OpenContext) -> Result<CertificateIdentity, Problem> {
    let location = match (&source.certificate_config_location, source.use_default_certificate_config) {
        (Some(location), false) => location.clone(),
        (None, true) => {
            context.certificate_config.clone().ok_or("credential_source.certificate: no default configuration")?
        }
        _ => {
            return Err("credential_source.certificate: either certificate_config_location or \
                        use_default_certificate_config is expected"
                .into());
        }
    };
    let trust_chain = source.trust_chain_path.as_deref();
    let mut files = [Some(&*location), trust_chain].into_iter().flatten().map(Path::to_owned).collect();
    match load(&location, trust_chain, &mut files) {
        Ok((upstream, chain)) => Ok(CertificateIdentity { upstream, chain, files }),
        Err(text) => Err(Problem { text, files }),
    }
}

/// Loads the client and its chain. Files that the configuration names are added to `files`, even if loading fails.
fn load(location: &Path, trust_chain: Option<&Path>, files: &mut Vec<PathBuf>) -> Result<(Upstream, Secret), String> {
    let config: Config = serde_json::from_slice(&read(location, Limit::CREDENTIALS)?).map_err(|_| {
        format!("{}: cert_configs.workload with cert_path and key_path is expected", location.display())
    })?;
    let Workload { cert_path, key_path } = config.cert_configs.workload;
    files.extend([cert_path.clone(), key_path.clone()]);
    let leaf = certificates(&cert_path)?;
    let key = PrivateKeyDer::from_pem_slice(&Zeroizing::new(read(&key_path, Limit::PEM)?))
        .map_err(|_| format!("{}: no private key in PEM", key_path.display()))?;
    let mut subject = leaf.iter().take(1).cloned().collect::<Vec<_>>();
    if let Some(path) = trust_chain {
        subject.extend(certificates(path)?.into_iter().filter(|der| Some(der) != leaf.first()));
    }
    let upstream =
        Upstream::with_certificate(leaf, key).map_err(|error| format!("{}: {error}", cert_path.display()))?;
    Ok((upstream, chain(&subject)))
}

/// Encodes certificates as a subject token, the leaf first.
pub(in crate::live) fn chain(certificates: &[CertificateDer<'_>]) -> Secret {
    let base64 = certificates.iter().map(|der| BASE64_STANDARD.encode(der)).collect::<Vec<_>>();
    serde_json::json!(base64).to_string().into()
}

pub(in crate::live) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path, Limit::PEM)?).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| format!("{}: no certificates in PEM", path.display()))
}

fn read(path: &Path, limit: Limit) -> Result<Vec<u8>, String> {
    file::read(path, limit).map_err(|error| format!("{}: {error}", path.display()))
}
