//! The one thread that talks to the TPM. A TPM does one thing at a time and its library blocks, so callers queue up.

use super::TpmError;
use super::key::LoadedKey;
use crate::{SignError, SignRequest, Signature};
use gce_metadata_support::thread::Thread;
use tokio::sync::{mpsc, oneshot};

/// As many may wait in line as a TPM signs in a second or so. The rest waits to be let in.
pub(super) const QUEUE: usize = 32;

/// One signature, and who wants it.
pub(super) struct Job {
    pub(super) request: SignRequest,
    pub(super) reply: oneshot::Sender<Result<Signature, SignError>>,
}

/// Starts the thread. It ends with the last sender, and the key with it.
pub(super) fn start(
    key: LoadedKey,
    open: impl Fn() -> Result<LoadedKey, TpmError> + Send + 'static,
    mut jobs: mpsc::Receiver<Job>,
) -> std::io::Result<Thread> {
    let mut worker = Worker { key: Some(key), open, refused: None };
    let work = move || {
        while let Some(Job { request, reply }) = jobs.blocking_recv() {
            // Whoever has left needs no signature.
            if !reply.is_closed() {
                let signed = worker.sign(&request).map(|bytes| Signature(bytes.into()));
                let _ = reply.send(signed.map_err(|error| SignError::Failed(error.to_string())));
            }
        }
    };
    Thread::start("tpm", work)
}

struct Worker<F> {
    key: Option<LoadedKey>,
    /// Loads the key anew.
    open: F,
    /// A wrong password stays wrong, and to try it again would lock the TPM.
    refused: Option<TpmError>,
}

impl<F: Fn() -> Result<LoadedKey, TpmError>> Worker<F> {
    fn sign(&mut self, request: &SignRequest) -> Result<Vec<u8>, TpmError> {
        if let Some(error) = &self.refused {
            return Err(error.clone());
        }
        let signed = match self.attempt(request) {
            // A TPM that was started anew has forgotten its keys and sessions. One that is still away will be asked again.
            Err(error) if error.may_pass() => {
                tracing::debug!("the TPM is opened anew: {error}");
                self.attempt(request)
            }
            signed => signed,
        };
        if let Err(error @ (TpmError::WrongPassword { .. } | TpmError::MissingPassword)) = &signed {
            self.refused = Some(error.clone());
        }
        signed
    }

    fn attempt(&mut self, request: &SignRequest) -> Result<Vec<u8>, TpmError> {
        let mut key = match self.key.take() {
            Some(key) => key,
            None => (self.open)()?,
        };
        let signed = key.sign(request.alg, &request.message);
        // A connection that is out of step, or has ended, is of no use.
        if signed.is_ok() {
            self.key = Some(key);
        }
        signed
    }
}
