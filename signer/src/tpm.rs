//! An RSA key inside a Trusted Platform Module (TPM 2.0).
//!
//! The key never leaves the chip: what is to be signed goes in, a signature comes out, and it is byte for byte what a
//! [`PemSigner`](super::PemSigner) of the same key makes. The feature `tpm` brings it; it links tpm2-tss.

mod address;
mod bridge;
mod certificate;
mod device;
mod error;
mod key;
mod keyfile;
mod limit;
mod pcrs;
mod policy;
mod provision;
mod public;
mod rsa_private;
mod worker;

pub use address::TpmAddress;
pub use certificate::certificate;
pub use error::TpmError;
pub use pcrs::Pcrs;
pub use provision::{Made, NewKey, Provisioner, Shown, show};

use super::{BoxSigner, JwsAlgorithm, KeyInfo, SignError, SignRequest, Signature, key_info};
use device::ENDORSEMENT_KEYS;
use gce_metadata_support::Secret;
use gce_metadata_support::thread::Thread;
use key::LoadedKey;
use limit::{OPENING, within};
use rcgen::PublicKeyData;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;
use tower::{Service, ServiceExt, service_fn};
use worker::Job;

/// As long as anyone waits for a signature. A TPM takes a tenth of a second or so.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Which TPM, and how the use of a key in it is authorised.
#[derive(Debug, Clone, Default)]
pub struct TpmOptions {
    /// Where the TPM is.
    pub tpm: TpmAddress,
    /// Whether the key of a file is a child of the RSA endorsement key, whatever the file says.
    pub use_ek_parent: bool,
    /// The password of a persistent parent, or of the hierarchy that the parent is made in.
    pub parent_password: Option<Secret>,
    /// The key's own password.
    pub key_password: Option<Secret>,
    /// The registers that the key is bound to.
    pub pcrs: Option<Pcrs>,
    /// The name of the endorsement key for which all that is asked is encrypted.
    pub encrypt_with_name: Option<Vec<u8>>,
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TpmKey {
    /// In the TPM, at this handle.
    Persistent(u32),
    /// In a file that only its TPM can read: PEM of the label `TSS2 PRIVATE KEY`.
    File(PathBuf),
}

impl fmt::Display for TpmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Persistent(handle) => write!(f, "the TPM's handle {handle:#x}"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// Under which key another one is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TpmParent {
    /// The elliptic-curve primary of the owner's hierarchy, which the key files' specification calls H2.
    Owner,
    /// Its RSA sibling.
    OwnerRsa,
    /// The RSA endorsement key.
    Endorsement,
    /// A key at a persistent handle.
    Persistent(u32),
}

/// Signs with a key inside a TPM.
///
/// Signatures are made one after the other, in the order in which they are asked for. `poll_ready` waits for a place in
/// the line, so that a slow TPM slows its callers down and nothing piles up. The TPM may be restarted in between.
#[derive(Clone)]
pub struct TpmSigner {
    line: PollSender<Job>,
    info: KeyInfo,
    spki: Vec<u8>,
    any_scheme: bool,
    /// Dropped after the line, whose end it waits for.
    _thread: Arc<Thread>,
}

impl TpmSigner {
    /// Connects to the TPM and loads the key. This blocks, for a minute and a half at most. No signature is made, so a wrong
    /// password does not show yet.
    ///
    /// # Errors
    /// If there is no such TPM or key, it does not answer, or the key's policy can't be met.
    pub fn open(key: TpmKey, options: TpmOptions) -> Result<Self, TpmError> {
        let (first_key, first_options) = (key.clone(), options.clone());
        let loaded = within(OPENING, &options.tpm, move || LoadedKey::open(&first_key, &first_options))?;
        let (spki, any_scheme) = (loaded.rsa.subject_public_key_info(), loaded.rsa.any_scheme);
        let (sender, jobs) = mpsc::channel(worker::QUEUE);
        let open = move || LoadedKey::open(&key, &options);
        let thread = worker::start(loaded, open, jobs).map_err(|error| TpmError::Other(error.to_string()))?;
        let line = PollSender::new(sender);
        Ok(Self { line, info: key_info(&spki), spki, any_scheme, _thread: Arc::new(thread) })
    }

    /// The public side.
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// The public key, as SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }

    /// Whether the key can sign this way.
    pub fn supports(&self, alg: JwsAlgorithm) -> bool {
        self.any_scheme || alg == JwsAlgorithm::Rs256
    }

    /// The same as any signer, for as long as one waits: a TPM that never answers must not hold up its callers for ever.
    pub fn boxed(self) -> BoxSigner {
        BoxSigner::new(service_fn(move |request| {
            let signed = tokio::time::timeout(TIMEOUT, self.clone().oneshot(request));
            async move {
                let too_slow = |_| SignError::Failed(TpmError::TooSlow(TIMEOUT.as_secs()).to_string());
                signed.await.map_err(too_slow)?
            }
        }))
    }
}

impl fmt::Debug for TpmSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TpmSigner").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Service<SignRequest> for TpmSigner {
    type Response = Signature;
    type Error = SignError;
    type Future = SignatureFuture;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), SignError>> {
        Poll::Ready(ready!(self.line.poll_reserve(context)).map_err(|_| gone()))
    }

    fn call(&mut self, request: SignRequest) -> Self::Future {
        let (reply, signed) = oneshot::channel();
        let sent = self.line.send_item(Job { request, reply });
        SignatureFuture(sent.is_ok().then_some(signed))
    }
}

/// A signature that is under way.
#[derive(Debug)]
pub struct SignatureFuture(Option<oneshot::Receiver<Result<Signature, SignError>>>);

impl Future for SignatureFuture {
    type Output = Result<Signature, SignError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(signed) = &mut self.0 else { return Poll::Ready(Err(gone())) };
        Poll::Ready(ready!(Pin::new(signed).poll(context)).unwrap_or_else(|_| Err(gone())))
    }
}

fn gone() -> SignError {
    SignError::Failed("the TPM's thread has ended".to_owned())
}
