//! Credentials whose private key is in a TPM: a service account's key, or the key of a workload's certificate.

use super::error::CredentialError;
use super::external;
use super::iam::Impersonation;
use super::jwt_bearer::JwtBearer;
use super::loaded::{GOOGLE, LoadedCredentials};
use super::location::Location;
use super::open_context::OpenContext;
use super::options::AccessTokenKind;
use super::upstream::Upstream;
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use gce_metadata_signer::tpm::{TpmError, TpmKey, TpmSigner};
use gce_metadata_signer::{BoxSigner, JwsAlgorithm, SignError, SignRequest, Signature};
use gce_metadata_support::blocking::no_thread;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::CertificateDer;
use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use tower::ServiceExt;

/// A message that is signed to detect the length of the TPM's salts.
const SAMPLE: &[u8] = b"how long is the salt";

/// Opens a service account's key. It signs for the configured e-mail, or else for the account of each request.
pub(super) fn open(key: TpmKey, context: &OpenContext) -> Result<LoadedCredentials, String> {
    let signer = open_signer(key, context)?;
    let fingerprint = Some(signer.info().spki_sha256);
    let bearer = JwtBearer {
        signer: signer.boxed(),
        key_id: None,
        email: context.key_email.clone(),
        token_uri: context.endpoints.token(None),
        kind: context.kind.unwrap_or(AccessTokenKind::Jwt),
        upstream: context.upstream.clone(),
    };
    Ok(LoadedCredentials {
        email: context.key_email.clone(),
        fingerprint,
        ..LoadedCredentials::new("TPM", bearer.tokens())
    })
}

/// Opens a workload's certificate. The Security Token Service exchanges it for a federated token, which impersonates
/// the account. An error names the key or the certificate.
pub(super) fn federated(
    key: TpmKey,
    certificate: &Path,
    audience: &str,
    context: &OpenContext,
) -> Result<LoadedCredentials, CredentialError> {
    let signer = open_signer(key.clone(), context).map_err(error_at(&Location::of(key)))?;
    let fingerprint = Some(signer.info().spki_sha256);
    let certificate_error = error_at(&certificate.display());
    let chain = external::certificates(certificate).map_err(&certificate_error)?;
    if !leaf_has_key(&chain, signer.public_key()) {
        return Err(certificate_error("this certificate is not of the key in the TPM".to_owned()));
    }
    let subject = external::chain(&chain);
    let makes_pss = signer.supports(JwsAlgorithm::Ps256) && makes_pss(&signer.clone().boxed(), signer.public_key());
    // TLS 1.3 requires PSS, which a key with the fixed scheme PKCS#1 v1.5 does not support.
    let versions: &[_] = if makes_pss { &[&TLS13, &TLS12] } else { &[&TLS12] };
    let resolver = Arc::new(InTpm { chain, signer: signer.boxed(), makes_pss });
    let upstream =
        Upstream::with_resolver(resolver, versions).map_err(|error| CredentialError::Tls(error.to_string()))?;
    let identity = external::certified(upstream, subject, audience, context);
    let impersonation = Impersonation::of_any(context, context.endpoints.iam(None, GOOGLE), identity);
    Ok(LoadedCredentials { fingerprint, ..LoadedCredentials::new("TPMFederated", impersonation.tokens()) })
}

/// Converts a problem into an error with this place. A place that the problem already begins with is not repeated.
fn error_at(place: &dyn Display) -> impl Fn(String) -> CredentialError + use<> {
    let place = place.to_string();
    move |problem| {
        let unnamed = problem.strip_prefix(&place).and_then(|rest| rest.strip_prefix(": "));
        CredentialError::File { place: place.clone(), problem: unnamed.unwrap_or(&problem).to_owned() }
    }
}

fn open_signer(key: TpmKey, context: &OpenContext) -> Result<TpmSigner, String> {
    TpmSigner::open(key, context.tpm.clone()).map_err(|error| match error {
        // The caller adds the path.
        TpmError::KeyFile { problem, .. } => problem,
        error => error.to_string(),
    })
}

/// Whether the TPM makes PSS signatures with a salt as long as the digest, as TLS requires. Some chips use the longest
/// possible salt.
fn makes_pss(signer: &BoxSigner, spki: &[u8]) -> bool {
    let signed = sign(signer, JwsAlgorithm::Ps256, SAMPLE);
    let verified = signed.and_then(|signature| {
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki);
        key.verify(SAMPLE, &signature).map_err(|_| "its salt is not as long as the digest".to_owned())
    });
    verified.inspect_err(|error| tracing::warn!("limited to TLS 1.2, the TPM's PSS is not usable: {error}")).is_ok()
}

/// Whether the first of these certificates has this public key.
fn leaf_has_key(chain: &[CertificateDer<'_>], spki: &[u8]) -> bool {
    let first = chain.first().and_then(|der| x509_parser::parse_x509_certificate(der).ok());
    first.is_some_and(|(_, certificate)| certificate.public_key().raw == spki)
}

/// The client certificate and its signing key, for rustls.
#[derive(Debug, Clone)]
struct InTpm {
    chain: Vec<CertificateDer<'static>>,
    signer: BoxSigner,
    makes_pss: bool,
}

impl ResolvesClientCert for InTpm {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Without a common signature scheme no certificate is sent, and the service's answer explains the refusal.
        self.choose_scheme(schemes)?;
        Some(Arc::new(CertifiedKey::new(self.chain.clone(), Arc::new(self.clone()))))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl SigningKey for InTpm {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let known = [
            (SignatureScheme::RSA_PSS_SHA256, JwsAlgorithm::Ps256),
            (SignatureScheme::RSA_PKCS1_SHA256, JwsAlgorithm::Rs256),
        ];
        let known = known.into_iter().filter(|(_, alg)| self.makes_pss || *alg != JwsAlgorithm::Ps256);
        let chosen = known.into_iter().find(|(scheme, _)| offered.contains(scheme));
        chosen.map(|(scheme, alg)| -> Box<dyn Signer> {
            Box::new(HandshakeSigner { scheme, alg, signer: self.signer.clone() })
        })
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

#[derive(Debug)]
struct HandshakeSigner {
    scheme: SignatureScheme,
    alg: JwsAlgorithm,
    signer: BoxSigner,
}

impl Signer for HandshakeSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        sign(&self.signer, self.alg, message).map_err(rustls::Error::General)
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Signs on another thread and waits for it. rustls calls this synchronously inside a tokio runtime, where `block_on`
/// would panic.
fn sign(signer: &BoxSigner, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, String> {
    let signing = signer.clone().oneshot(SignRequest { alg, message: message.to_vec().into() });
    let signed = thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, || wait(signing));
        waiting.map(thread::ScopedJoinHandle::join).map_err(|error| no_thread(&error))
    });
    signed?.unwrap_or_else(|_| Err("the thread that waits for the TPM has panicked".to_owned()))
}

fn wait(signing: impl Future<Output = Result<Signature, SignError>>) -> Result<Vec<u8>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let signed = runtime.map_err(|error| error.to_string())?.block_on(signing);
    signed.map(|signature| signature.0.to_vec()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::service_fn;

    #[test]
    fn a_tpm_with_long_pss_salts_is_limited_to_tls_1_2() {
        let salts = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/salts.pem");
        let blocks = pem::parse_many(std::fs::read(salts).unwrap()).unwrap();
        let [key, short, long] = &blocks[..] else { panic!("a key and two signatures") };
        let signer = |signature: &[u8]| {
            let signature = Signature(signature.to_vec().into());
            BoxSigner::new(service_fn(move |_| std::future::ready(Ok(signature.clone()))))
        };
        let both = [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256];
        for (signature, scheme) in [(short, both[0]), (long, both[1])] {
            let signer = signer(signature.contents());
            let makes_pss = makes_pss(&signer, key.contents());
            let key = InTpm { chain: Vec::new(), signer, makes_pss };
            assert_eq!(key.choose_scheme(&both).unwrap().scheme(), scheme);
        }
        let failing = BoxSigner::new(service_fn(|_| std::future::ready(Err(SignError::Failed("made-up".to_owned())))));
        assert!(!makes_pss(&failing, key.contents()));
    }
}
