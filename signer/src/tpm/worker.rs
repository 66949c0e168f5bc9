//! The thread that owns the TPM connection. A TPM runs one command at a time and its library blocks, so requests are
//! queued.

use super::TpmError;
use super::key::LoadedKey;
use crate::{SignError, SignRequest, Signature};
use gce_metadata_support::thread::Thread;
use tokio::sync::{mpsc, oneshot};

/// The capacity of the queue: about as many signatures as a TPM makes in a few seconds.
pub(super) const QUEUE_CAPACITY: usize = 32;

/// A request for a signature, and the sender of its reply.
pub(super) struct Job {
    pub(super) request: SignRequest,
    pub(super) reply: oneshot::Sender<Result<Signature, SignError>>,
}

/// Starts the thread. It ends, and drops the key, when the last sender of the queue is dropped.
pub(super) fn start(
    key: LoadedKey,
    open: impl Fn() -> Result<LoadedKey, TpmError> + Send + 'static,
    mut jobs: mpsc::Receiver<Job>,
) -> std::io::Result<Thread> {
    let mut worker = Worker { key: Some(key), open, wrong_password: None };
    let work = move || {
        while let Some(Job { request, reply }) = jobs.blocking_recv() {
            // A cancelled request needs no signature.
            if !reply.is_closed() {
                let signed = worker.sign(&request).map(|bytes| Signature(bytes.into()));
                let _ = reply.send(signed.map_err(|error| SignError::Failed(error.to_string())));
            }
        }
    };
    Thread::start("tpm", work)
}

struct Worker<F> {
    /// The loaded key; `None` after an error.
    key: Option<LoadedKey>,
    /// Reopens the key.
    open: F,
    /// The error of a wrong password, which all later signatures get: repeated attempts would lock the TPM.
    wrong_password: Option<TpmError>,
}

impl<F: Fn() -> Result<LoadedKey, TpmError>> Worker<F> {
    fn sign(&mut self, request: &SignRequest) -> Result<Vec<u8>, TpmError> {
        if let Some(error) = &self.wrong_password {
            return Err(error.clone());
        }
        let signed = match self.attempt(request) {
            // A restarted TPM has lost its loaded keys and sessions. One retry; the next signature tries again.
            Err(error) if error.is_transient() => {
                tracing::debug!("reopening the TPM: {error}");
                self.attempt(request)
            }
            signed => signed,
        };
        if let Err(error @ (TpmError::WrongPassword { .. } | TpmError::MissingPassword)) = &signed {
            self.wrong_password = Some(error.clone());
        }
        signed
    }

    fn attempt(&mut self, request: &SignRequest) -> Result<Vec<u8>, TpmError> {
        let mut key = match self.key.take() {
            Some(key) => key,
            None => (self.open)()?,
        };
        let signed = key.sign(request.alg, &request.message);
        // After an error the connection may be out of sync or closed, so the next attempt makes a new one.
        if signed.is_ok() {
            self.key = Some(key);
        }
        signed
    }
}
