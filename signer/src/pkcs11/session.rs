//! A session with a token, which is closed when dropped.

use super::Pkcs11Error;
use super::module::Module;
use cryptoki::context::Pkcs11;
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use std::sync::Arc;

/// A session with a token.
pub(super) struct TokenSession {
    module: Arc<Module>,
    /// The initialization of the module that the session belongs to.
    pub(super) generation: u64,
    /// `None` while it is dropped only.
    session: Option<Session>,
}

impl TokenSession {
    /// Opens a session. The caller holds the lock of the module's state.
    pub(super) fn open(
        module: &Arc<Module>,
        library: &Pkcs11,
        generation: u64,
        slot: Slot,
    ) -> Result<Self, Pkcs11Error> {
        // cryptoki must not close it: after a restart of the module, its handle may be that of another session.
        let session = library.open_ro_session_no_drop(slot)?;
        Ok(Self { module: Arc::clone(module), generation, session: Some(session) })
    }

    /// The session, for a caller that holds the lock of the module's state.
    pub(super) fn get(&self) -> Result<&Session, Pkcs11Error> {
        self.session.as_ref().ok_or(Pkcs11Error::SessionEnded)
    }

    /// Calls the module, unless it has been restarted since the session was opened.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Session) -> Result<T, Pkcs11Error>) -> Result<T, Pkcs11Error> {
        let state = self.module.state();
        if state.generation != self.generation || state.library().is_err() {
            return Err(Pkcs11Error::SessionEnded);
        }
        work(self.get()?)
    }
}

impl Drop for TokenSession {
    fn drop(&mut self) {
        // Without waiting, because this thread may hold the lock itself. A restart of the module ends the session too.
        let Some(state) = self.module.try_state() else { return };
        if let Some(session) = self.session.take()
            && state.generation == self.generation
            && state.library().is_ok()
        {
            // An error means that the session has already ended.
            let _ = session.close();
        }
    }
}
