//! The signer with an RSA key in this process' memory.

use super::{JwsAlgorithm, KeyInfo, SignError, SignRequest, Signature, key_info};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKey};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::Service;

/// A signer with an RSA key in memory, read from PEM or generated.
///
/// It signs on the thread that calls the service, which takes about a quarter of a millisecond. Clones share the key.
///
/// ```
/// use gce_metadata_signer::{JwsAlgorithm, PemSigner, SignRequest};
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let signer = PemSigner::generate().unwrap();
/// let request = SignRequest { alg: JwsAlgorithm::Rs256, message: "signing input".into() };
/// assert_eq!(signer.oneshot(request).await.unwrap().0.len(), 256);
/// # }
/// ```
#[derive(Clone)]
pub struct PemSigner {
    key: Arc<KeyPair>,
    info: KeyInfo,
}

/// The error of reading or generating a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text contains no private key in PEM.
    #[error("no private key in PEM found (PRIVATE KEY or RSA PRIVATE KEY)")]
    NotPem,
    /// The key is encrypted with a passphrase.
    #[error("the private key is encrypted: decrypt it, for example with `openssl pkey -in KEY -out DECRYPTED_KEY`")]
    Encrypted,
    /// The key is for another algorithm.
    #[error("an elliptic-curve key: an RSA key is needed, because Google's tokens are signed with RS256")]
    NotRsa,
    /// The key is damaged, or of an unsupported type or length. The reason is aws-lc-rs' own.
    #[error("not a usable RSA key of 2048 to 8192 bits: {0}")]
    Rejected(String),
    /// No key could be generated. aws-lc-rs gives no reason.
    #[error("generating an RSA key failed")]
    NotGenerated,
}

impl From<Unspecified> for KeyError {
    fn from(_: Unspecified) -> Self {
        Self::NotGenerated
    }
}

impl PemSigner {
    /// Reads the first private key of a PEM text, in PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// If the text contains no private key, or the key is not an RSA key of 2048 to 8192 bits.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let rejected = |error: aws_lc_rs::error::KeyRejected| KeyError::Rejected(error.to_string());
        let unreadable = || if is_encrypted(pem) { KeyError::Encrypted } else { KeyError::NotPem };
        match PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())? {
            PrivateKeyDer::Pkcs1(key) => Self::new(KeyPair::from_der(key.secret_pkcs1_der()).map_err(rejected)?),
            PrivateKeyDer::Pkcs8(key) => Self::new(KeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(rejected)?),
            _ => Err(KeyError::NotRsa),
        }
    }

    /// Generates a key of 2048 bits. This blocks the thread for about a tenth of a second.
    ///
    /// # Errors
    /// If the system's random number generator fails.
    pub fn generate() -> Result<Self, KeyError> {
        Self::new(KeyPair::generate(KeySize::Rsa2048)?)
    }

    fn new(key: KeyPair) -> Result<Self, KeyError> {
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der()?;
        Ok(Self { info: key_info(spki.as_ref()), key: Arc::new(key) })
    }

    /// Returns the public facts about the key.
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Returns the public key.
    pub fn public_key(&self) -> &PublicKey {
        self.key.public_key()
    }

    /// Signs a message with RS256, on this thread.
    ///
    /// # Errors
    /// If aws-lc-rs fails. It gives no reason.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        self.sign_with(&RSA_PKCS1_SHA256, message)
    }

    fn sign_with(&self, padding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key.sign(padding, &SystemRandom::new(), message, &mut signature)?;
        Ok(signature)
    }
}

/// Whether PEM has a private key that is encrypted with a passphrase, in PKCS#8 or in OpenSSL's older format.
pub(crate) fn is_encrypted(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || pem.contains("Proc-Type: 4,ENCRYPTED")
}

impl fmt::Debug for PemSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PemSigner").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Service<SignRequest> for PemSigner {
    type Response = Signature;
    type Error = SignError;
    type Future = Ready<Result<Signature, SignError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), SignError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: SignRequest) -> Self::Future {
        let signed = match request.alg {
            JwsAlgorithm::Rs256 => self.sign(&request.message),
            JwsAlgorithm::Ps256 => self.sign_with(&RSA_PSS_SHA256, &request.message),
            alg => return ready(Err(SignError::Failed(format!("{alg}: the key is an RSA key")))),
        };
        ready(signed.map(|bytes| Signature(bytes.into())).map_err(|_| SignError::Failed("RSA".into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jwt_simple::algorithms::RS256KeyPair;
    use tower::ServiceExt;

    #[tokio::test]
    async fn pkcs8_and_pkcs1_of_one_key_make_equal_signatures() {
        let pkcs8 = RS256KeyPair::generate(2048).unwrap().to_pem().unwrap();
        let pkcs1 = pkcs1_of(&pkcs8);
        let (one, other) = (PemSigner::from_pem(&pkcs8).unwrap(), PemSigner::from_pem(&pkcs1).unwrap());
        assert_eq!(one.info(), other.info());
        let request = SignRequest { alg: JwsAlgorithm::Rs256, message: "signing input".into() };
        assert_eq!(one.oneshot(request.clone()).await.unwrap(), other.oneshot(request).await.unwrap());
    }

    /// Converts to PKCS#1 by removing the 26 bytes that PKCS#8 prepends.
    fn pkcs1_of(pkcs8: &str) -> String {
        use base64::{Engine, prelude::BASE64_STANDARD};
        let PrivateKeyDer::Pkcs8(der) = PrivateKeyDer::from_pem_slice(pkcs8.as_bytes()).unwrap() else { panic!() };
        let body = BASE64_STANDARD.encode(&der.secret_pkcs8_der()[26..]);
        format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----\n")
    }

    #[test]
    fn pem_without_an_rsa_key_is_an_error() {
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert!(matches!(PemSigner::from_pem("nothing"), Err(KeyError::NotPem)));
        assert!(matches!(PemSigner::from_pem(&ec), Err(KeyError::Rejected(_))));
    }

    #[test]
    fn an_encrypted_key_is_an_error_that_says_so() {
        for pem in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIF\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIF\n-----END RSA PRIVATE KEY-----\n",
        ] {
            let error = PemSigner::from_pem(pem).unwrap_err().to_string();
            assert!(error.starts_with("the private key is encrypted: decrypt it"), "{error}");
        }
    }

    #[test]
    fn debug_does_not_print_the_key() {
        let signer = PemSigner::generate().unwrap();
        assert!(format!("{signer:?}").starts_with("PemSigner { info: KeyInfo { key_id: "));
        assert_eq!(signer.info().key_id.len(), 40);
    }
}
