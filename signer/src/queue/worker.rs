//! The work of a device's thread: it signs with the key, and opens the key again after an error.

use crate::{JwsAlgorithm, SignError, SignRequest, Signature};
use std::fmt;
use tokio::sync::{mpsc, oneshot};

/// A key that is open in a device.
pub(crate) trait DeviceKey: Send + 'static {
    /// The error of the device.
    type Error: DeviceError;

    /// Signs a message. After an error the key is dropped and opened again.
    fn sign(&mut self, alg: JwsAlgorithm, message: &[u8]) -> Result<Vec<u8>, Self::Error>;
}

/// The error of a device.
pub(crate) trait DeviceError: fmt::Display + Clone + Send + 'static {
    /// Whether another attempt, with the key opened again, may succeed.
    fn is_transient(&self) -> bool;

    /// Whether all later signatures get this error: repeated attempts with a wrong password would lock the device.
    fn is_permanent(&self) -> bool;
}

/// A request for a signature, and the sender of its reply.
pub(super) struct Job {
    pub(super) request: SignRequest,
    pub(super) reply: oneshot::Sender<Result<Signature, SignError>>,
}

pub(super) struct Worker<K: DeviceKey, F> {
    device: &'static str,
    /// The open key; `None` after an error.
    key: Option<K>,
    /// Opens the key again.
    open: F,
    permanent_error: Option<K::Error>,
}

impl<K: DeviceKey, F: FnMut() -> Result<K, K::Error>> Worker<K, F> {
    pub(super) fn new(device: &'static str, key: K, open: F) -> Self {
        Self { device, key: Some(key), open, permanent_error: None }
    }

    /// Signs until the last sender of the queue is dropped.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(Job { request, reply }) = jobs.blocking_recv() {
            // A cancelled request needs no signature.
            if !reply.is_closed() {
                let signed = self.sign(&request).map(|bytes| Signature(bytes.into()));
                let _ = reply.send(signed.map_err(|error| SignError::Failed(error.to_string())));
            }
        }
    }

    fn sign(&mut self, request: &SignRequest) -> Result<Vec<u8>, K::Error> {
        if let Some(error) = &self.permanent_error {
            return Err(error.clone());
        }
        let signed = match self.attempt(request) {
            // A restarted device has lost its keys and sessions. One retry; the next signature tries again.
            Err(error) if error.is_transient() => {
                tracing::debug!("opening the key in the device `{}` again: {error}", self.device);
                self.attempt(request)
            }
            signed => signed,
        };
        if let Err(error) = &signed
            && error.is_permanent()
        {
            self.permanent_error = Some(error.clone());
        }
        signed
    }

    fn attempt(&mut self, request: &SignRequest) -> Result<Vec<u8>, K::Error> {
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
