//! Keys in tokens with a PKCS#11 module, such as hardware security modules (HSMs): signing with them and describing them.
//!
//! The private key never leaves the token. The module, a library of the token's vendor, is loaded at run time. For RS256
//! the token's signature equals, byte for byte, that of a [`PemSigner`](super::PemSigner) with the same key.
//!
//! Every function that uses a token blocks its thread, except [`Pkcs11Signer`]'s service.

mod attributes;
mod backoff;
mod certificate;
mod describe;
mod error;
mod key;
mod login;
mod mechanism;
mod module;
mod public;
mod reopen;
mod session;
mod token;
mod uri;

pub use super::queue::SignatureFuture;
pub use certificate::self_signed_certificate;
pub use describe::{KeyDescription, TokenDescription, describe};
pub use error::Pkcs11Error;
pub use module::Pkcs11Modules;
pub use uri::{Pkcs11Uri, UriError};

use super::limit::{OPEN_TIMEOUT, Unfinished, within};
use super::queue::{SIGN_TIMEOUT, SignQueue, boxed_with_timeout, queued_signer};
use super::{BoxSigner, JwsAlgorithm, KeyInfo};
use gce_metadata_support::Secret;
use key::OpenKey;
use reopen::Reopener;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How tokens are used.
#[derive(Debug, Clone, Default)]
pub struct Pkcs11Options {
    /// The PIN of the token, if the URI of the key has no `pin-source`.
    pub pin: Option<Pkcs11Pin>,
    /// The loaded modules. All signers of a process should have clones of one value, because they share the state of
    /// their modules.
    pub modules: Pkcs11Modules,
}

/// The source of a PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pkcs11Pin {
    /// The PIN itself.
    Value(Secret),
    /// A file with the PIN. It is read each time when the token is opened; a newline at its end is ignored.
    File(PathBuf),
}

/// The location of a key: a module, and the URI of a key in one of its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Key {
    module: PathBuf,
    /// Shared by the clones, because a URI has many attributes.
    uri: Arc<Pkcs11Uri>,
}

impl Pkcs11Key {
    /// A key in a token of this module, by default that of the URI's `module-path`.
    ///
    /// # Errors
    /// If neither names a module.
    pub fn new(module: Option<PathBuf>, uri: Pkcs11Uri) -> Result<Self, Pkcs11Error> {
        let module = module.or_else(|| uri.module_path().map(Path::to_owned)).ok_or(Pkcs11Error::NoModule)?;
        Ok(Self { module, uri: Arc::new(uri) })
    }

    /// Returns the files whose content the use of the key depends on: that of the PIN.
    pub fn files(&self, options: &Pkcs11Options) -> Vec<PathBuf> {
        match self.pin(options) {
            Some(Pkcs11Pin::File(path)) => vec![path],
            _ => Vec::new(),
        }
    }

    /// The PIN: the URI's own takes precedence.
    fn pin(&self, options: &Pkcs11Options) -> Option<Pkcs11Pin> {
        self.uri.pin_source().map(|path| Pkcs11Pin::File(path.to_owned())).or_else(|| options.pin.clone())
    }
}

impl fmt::Display for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// A signer with a key inside a PKCS#11 token.
///
/// One thread owns the session with the token and makes the signatures in the order of the requests. Its queue is
/// bounded: `poll_ready` waits for capacity, which is the backpressure of a slow token. After an error the session is
/// opened and logged in again, with backoff. Clones share the queue.
#[derive(Clone)]
pub struct Pkcs11Signer {
    queue: SignQueue,
    info: KeyInfo,
    spki: Vec<u8>,
    algorithms: Vec<JwsAlgorithm>,
}

impl Pkcs11Signer {
    /// Loads the module, logs in to the token and finds the key. This blocks for up to 90 seconds.
    ///
    /// # Errors
    /// If the module can't be loaded or does not answer, if no token or no key fits the URI, or several do, if the key
    /// can't sign, or if the PIN is missing or wrong.
    pub fn open(key: Pkcs11Key, options: Pkcs11Options) -> Result<Self, Pkcs11Error> {
        let (first_key, first_options) = (key.clone(), options.clone());
        let open = with_timeout(&key.module, move || OpenKey::open(&first_key, &first_options))?;
        let (info, spki, algorithms) = (open.info(), open.subject_public_key_info(), open.algorithms());
        let mut reopener = Reopener::new(key, options);
        let queue = SignQueue::start("pkcs11", open, move || reopener.open());
        let queue = queue.map_err(|error| Pkcs11Error::Other(error.to_string()))?;
        Ok(Self { queue, info, spki, algorithms })
    }

    /// Returns the public facts about the key.
    pub fn info(&self) -> &KeyInfo {
        &self.info
    }

    /// Returns the public key as SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.spki
    }

    /// Returns whether the key can sign with `alg`.
    pub fn supports(&self, alg: JwsAlgorithm) -> bool {
        self.algorithms.contains(&alg)
    }

    /// Boxes the signer and adds a time-out of 10 seconds per signature, because a hung module never answers.
    #[must_use]
    pub fn boxed(self) -> BoxSigner {
        boxed_with_timeout(self, Pkcs11Error::SignTimeout(SIGN_TIMEOUT.as_secs()).to_string())
    }
}

queued_signer!(Pkcs11Signer);

/// Runs `work` with this module, which may hang.
fn with_timeout<T: Send + 'static>(
    module: &Path,
    work: impl FnOnce() -> Result<T, Pkcs11Error> + Send + 'static,
) -> Result<T, Pkcs11Error> {
    within(OPEN_TIMEOUT, "pkcs11-open", work).unwrap_or_else(|unfinished| match unfinished {
        Unfinished::TimedOut(seconds) => Err(Pkcs11Error::Unresponsive { module: module.to_owned(), seconds }),
        Unfinished::NoThread(error) => Err(Pkcs11Error::Other(error)),
    })
}
