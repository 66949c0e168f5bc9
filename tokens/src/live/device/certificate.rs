//! A client certificate whose key is in a device, for rustls.

use super::key::{ALGORITHMS, DeviceSigner};
use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
use gce_metadata_signer::{BoxSigner, JwsAlgorithm, SignError, SignRequest, Signature, ecdsa_signature_to_der};
use gce_metadata_support::blocking::no_thread;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::version::{TLS12, TLS13};
use rustls::{SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use std::thread;
use tower::ServiceExt;

/// A message that is signed to detect the length of the device's salts.
const SAMPLE: &[u8] = b"how long is the salt";

/// The client certificate and its signing key.
#[derive(Debug, Clone)]
pub(super) struct DeviceCertificate {
    chain: Vec<CertificateDer<'static>>,
    signer: BoxSigner,
    /// The algorithms of handshakes.
    algorithms: Vec<JwsAlgorithm>,
}

impl DeviceCertificate {
    /// This blocks while the device makes a signature.
    pub(super) fn new(chain: Vec<CertificateDer<'static>>, signer: DeviceSigner) -> Self {
        let DeviceSigner { signer, spki, mut algorithms, .. } = signer;
        algorithms.retain(|alg| *alg != JwsAlgorithm::Ps256 || makes_pss(&signer, &spki));
        Self { chain, signer, algorithms }
    }

    /// TLS 1.3 requires PSS of an RSA key, which not every device makes.
    pub(super) fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        match self.algorithms[..] {
            [JwsAlgorithm::Rs256] => vec![&TLS12],
            _ => vec![&TLS13, &TLS12],
        }
    }
}

/// Whether the device makes PSS signatures with a salt as long as the digest, as TLS requires. Some TPMs use the longest
/// possible salt.
fn makes_pss(signer: &BoxSigner, spki: &[u8]) -> bool {
    let signed = sign(signer, JwsAlgorithm::Ps256, SAMPLE);
    let verified = signed.and_then(|signature| {
        let key = UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA256, spki);
        key.verify(SAMPLE, &signature.0).map_err(|_| "its salt is not as long as the digest".to_owned())
    });
    verified.inspect_err(|error| tracing::warn!("limited to TLS 1.2, the key's PSS is not usable: {error}")).is_ok()
}

impl ResolvesClientCert for DeviceCertificate {
    fn resolve(&self, _: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        // Without a common signature scheme no certificate is sent, and the service's answer explains the refusal.
        self.choose_scheme(schemes)?;
        Some(Arc::new(CertifiedKey::new(self.chain.clone(), Arc::new(self.clone()))))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl SigningKey for DeviceCertificate {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let algorithms = ALGORITHMS.into_iter().filter(|alg| self.algorithms.contains(alg));
        let mut schemes = algorithms.filter_map(|alg| Some((scheme(alg)?, alg)));
        let (scheme, alg) = schemes.find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(HandshakeSigner { scheme, alg, signer: self.signer.clone() }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.algorithms[..] {
            [JwsAlgorithm::Es256 | JwsAlgorithm::Es384, ..] => SignatureAlgorithm::ECDSA,
            _ => SignatureAlgorithm::RSA,
        }
    }
}

/// The signature scheme of TLS for an algorithm.
fn scheme(alg: JwsAlgorithm) -> Option<SignatureScheme> {
    match alg {
        JwsAlgorithm::Es256 => Some(SignatureScheme::ECDSA_NISTP256_SHA256),
        JwsAlgorithm::Es384 => Some(SignatureScheme::ECDSA_NISTP384_SHA384),
        JwsAlgorithm::Ps256 => Some(SignatureScheme::RSA_PSS_SHA256),
        JwsAlgorithm::Rs256 => Some(SignatureScheme::RSA_PKCS1_SHA256),
        _ => None,
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
        let signature = sign(&self.signer, self.alg, message).map_err(rustls::Error::General)?;
        match self.alg {
            JwsAlgorithm::Es256 | JwsAlgorithm::Es384 => {
                ecdsa_signature_to_der(&signature).map_err(|error| rustls::Error::General(error.to_string()))
            }
            _ => Ok(signature.0.to_vec()),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

/// Signs on another thread and waits for it. rustls calls this synchronously inside a tokio runtime, where `block_on`
/// would panic.
fn sign(signer: &BoxSigner, alg: JwsAlgorithm, message: &[u8]) -> Result<Signature, String> {
    let signing = signer.clone().oneshot(SignRequest { alg, message: message.to_vec().into() });
    let signed = thread::scope(|scope| {
        let waiting = thread::Builder::new().spawn_scoped(scope, || wait(signing));
        waiting.map(thread::ScopedJoinHandle::join).map_err(|error| no_thread(&error))
    });
    signed?.unwrap_or_else(|_| Err("the thread that waits for the signature has panicked".to_owned()))
}

fn wait(signing: impl Future<Output = Result<Signature, SignError>>) -> Result<Signature, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let signed = runtime.map_err(|error| error.to_string())?.block_on(signing);
    signed.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::service_fn;

    fn certificate(signer: BoxSigner, spki: &[u8], algorithms: &[JwsAlgorithm]) -> DeviceCertificate {
        let (spki, algorithms) = (spki.to_vec(), algorithms.to_vec());
        DeviceCertificate::new(Vec::new(), DeviceSigner { signer, spki, spki_sha256: [0; 32], algorithms })
    }

    #[test]
    fn a_key_with_long_pss_salts_is_limited_to_tls_1_2() {
        let salts = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/salts.pem");
        let blocks = pem::parse_many(std::fs::read(salts).unwrap()).unwrap();
        let [key, short, long] = &blocks[..] else { panic!("a key and two signatures") };
        let signer = |signature: &[u8]| {
            let signature = Signature(signature.to_vec().into());
            BoxSigner::new(service_fn(move |_| std::future::ready(Ok(signature.clone()))))
        };
        let (rsa, both) = (
            [JwsAlgorithm::Ps256, JwsAlgorithm::Rs256],
            [SignatureScheme::RSA_PSS_SHA256, SignatureScheme::RSA_PKCS1_SHA256],
        );
        for (signature, scheme, versions) in [(short, both[0], 2), (long, both[1], 1)] {
            let key = certificate(signer(signature.contents()), key.contents(), &rsa);
            assert_eq!(key.choose_scheme(&both).unwrap().scheme(), scheme);
            assert_eq!(key.versions().len(), versions);
        }
        let failing = BoxSigner::new(service_fn(|_| std::future::ready(Err(SignError::Failed("made-up".to_owned())))));
        assert_eq!(certificate(failing, key.contents(), &rsa).algorithms, [JwsAlgorithm::Rs256]);
    }

    #[test]
    fn handshakes_have_ecdsa_signatures_in_der() {
        let signature = Signature([1; 64].to_vec().into());
        let signer = BoxSigner::new(service_fn(move |_| std::future::ready(Ok(signature.clone()))));
        let key = certificate(signer, &[], &[JwsAlgorithm::Es256]);
        assert!(key.choose_scheme(&[SignatureScheme::RSA_PSS_SHA256]).is_none());
        let signer = key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256]).unwrap();
        assert_eq!(signer.sign(b"message").unwrap()[..4], [0x30, 68, 2, 32]);
        assert_eq!((key.algorithm(), key.versions().len()), (SignatureAlgorithm::ECDSA, 2));
    }
}
