//! Opens a key again after its session has ended, because the token was removed or restarted.

use super::backoff::Backoff;
use super::key::OpenKey;
use super::module::Module;
use super::{Pkcs11Error, Pkcs11Key, Pkcs11Options};
use crate::queue::DeviceError;
use std::sync::Arc;
use std::time::Instant;

/// Opens a key again, with backoff.
pub(super) struct Reopener {
    key: Pkcs11Key,
    options: Pkcs11Options,
    /// Keeps the module loaded while no key is open.
    module: Arc<Module>,
    backoff: Backoff,
    /// The error of the last attempt, which requests get until the next one.
    error: Option<Pkcs11Error>,
}

impl Reopener {
    pub(super) fn new(key: Pkcs11Key, options: Pkcs11Options) -> Self {
        let module = options.modules.get(&key.module);
        Self { key, options, module, backoff: Backoff::default(), error: None }
    }

    pub(super) fn open(&mut self) -> Result<OpenKey, Pkcs11Error> {
        if let Some(error) = self.error.as_ref().filter(|_| !self.backoff.allows_attempt(Instant::now())) {
            return Err(error.clone());
        }
        match self.attempt() {
            Ok(key) => {
                tracing::info!(key = %self.key, "logged in to the PKCS#11 token again");
                self.backoff.succeeded();
                self.error = None;
                Ok(key)
            }
            Err(error) => {
                self.backoff.failed(Instant::now());
                self.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Many modules notice a token that has come back only after they were initialized again.
    fn attempt(&self) -> Result<OpenKey, Pkcs11Error> {
        let generation = self.module.state().generation;
        match OpenKey::open(&self.key, &self.options) {
            Err(error) if error.is_transient() => {
                self.module.restart(generation);
                OpenKey::open(&self.key, &self.options)
            }
            opened => opened,
        }
    }
}
