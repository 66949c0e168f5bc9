//! Credentials whose private key is in a device, a TPM or a PKCS#11 token: a service account's key, or the key of a
//! workload's certificate.

mod certificate;
mod key;

pub(super) use key::{DeviceKey, DeviceSigner};

use super::error::CredentialError;
use super::external;
use super::iam::Impersonation;
use super::jwt_bearer::JwtBearer;
use super::loaded::{GOOGLE, LoadedCredentials};
use super::open_context::OpenContext;
use super::options::AccessTokenKind;
use super::upstream::Upstream;
use certificate::DeviceCertificate;
use gce_metadata_signer::JwsAlgorithm;
use rustls_pki_types::CertificateDer;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

/// Opens a service account's key. It signs for the configured e-mail, or else for the account of each request.
pub(super) fn open(key: &DeviceKey, context: &OpenContext) -> Result<LoadedCredentials, String> {
    service_account(key.open(context)?, key.credential_type(), context.key_email.clone(), None, context)
}

/// The tokens of a service account's key. `key_id` is that of Google, if it is known.
pub(super) fn service_account(
    signer: DeviceSigner,
    credential_type: &'static str,
    email: Option<String>,
    key_id: Option<String>,
    context: &OpenContext,
) -> Result<LoadedCredentials, String> {
    if !signer.algorithms.contains(&JwsAlgorithm::Rs256) {
        return Err("the key can't sign with RS256, as Google's tokens need: use an RSA key that may sign".to_owned());
    }
    let bearer = JwtBearer {
        signer: signer.signer,
        key_id,
        email: email.clone(),
        token_uri: context.endpoints.token(None),
        kind: context.kind.unwrap_or(AccessTokenKind::Jwt),
        upstream: context.upstream.clone(),
    };
    let fingerprint = Some(signer.spki_sha256);
    Ok(LoadedCredentials { email, fingerprint, ..LoadedCredentials::new(credential_type, bearer.tokens()) })
}

/// Opens a workload's certificate. The Security Token Service exchanges it for a federated token, which impersonates
/// the account. An error names the key or the certificate.
pub(super) fn federated(
    key: &DeviceKey,
    certificate: &Path,
    audience: &str,
    context: &OpenContext,
) -> Result<LoadedCredentials, CredentialError> {
    let signer = key.open(context).map_err(error_at(key))?;
    let fingerprint = Some(signer.spki_sha256);
    let certificate_error = error_at(&certificate.display());
    let chain = external::certificates(certificate).map_err(&certificate_error)?;
    if !leaf_has_key(&chain, &signer.spki) {
        return Err(certificate_error(format!("this certificate is not of the key in the {}", key.device())));
    }
    let subject = external::chain(&chain);
    let certificate = DeviceCertificate::new(chain, signer);
    let versions = certificate.versions();
    let upstream = Upstream::with_resolver(Arc::new(certificate), &versions);
    let upstream = upstream.map_err(|error| CredentialError::Tls(error.to_string()))?;
    let identity = external::certified(upstream, subject, audience, context);
    let impersonation = Impersonation::of_any(context, context.endpoints.iam(None, GOOGLE), identity);
    Ok(LoadedCredentials { fingerprint, ..LoadedCredentials::new(key.federated_type(), impersonation.tokens()) })
}

/// Converts a problem into an error with this place. A place that the problem already begins with is not repeated.
fn error_at(place: &dyn Display) -> impl Fn(String) -> CredentialError + use<> {
    let place = place.to_string();
    move |problem| {
        let unnamed = problem.strip_prefix(&place).and_then(|rest| rest.strip_prefix(": "));
        CredentialError::File { place: place.clone(), problem: unnamed.unwrap_or(&problem).to_owned() }
    }
}

/// Whether the first of these certificates has this public key.
fn leaf_has_key(chain: &[CertificateDer<'_>], spki: &[u8]) -> bool {
    let first = chain.first().and_then(|der| x509_parser::parse_x509_certificate(der).ok());
    first.is_some_and(|(_, certificate)| certificate.public_key().raw == spki)
}
