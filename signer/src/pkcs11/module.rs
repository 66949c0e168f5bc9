//! Loaded modules. A module is a library with one state per process: it is initialized once, and all keys in its tokens
//! share it.

use super::Pkcs11Error;
use super::error::code;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as CryptokiError, RvError};
use gce_metadata_support::Secret;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

/// The loaded modules of a process, and the PINs that their tokens have refused. Clones share both.
#[derive(Clone, Default)]
pub struct Pkcs11Modules(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// By path. The keys own their module, so that it is finalized on a thread that may block.
    modules: Mutex<HashMap<PathBuf, Weak<Module>>>,
    refused_pins: Mutex<Vec<RefusedPin>>,
}

/// A PIN that the token with this label and serial number has refused.
#[derive(PartialEq)]
pub(super) struct RefusedPin {
    pub(super) label: String,
    pub(super) serial: String,
    pub(super) pin: Secret,
}

impl Pkcs11Modules {
    /// The module at this path, which need not be loaded yet.
    pub(super) fn get(&self, path: &Path) -> Arc<Module> {
        let mut modules = self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(module) = modules.get(path).and_then(Weak::upgrade) {
            return module;
        }
        let module = Arc::new(Module { path: path.to_owned(), state: RwLock::default(), login: Mutex::default() });
        modules.insert(path.to_owned(), Arc::downgrade(&module));
        module
    }

    /// Whether the token has refused this PIN before.
    pub(super) fn has_refused(&self, pin: &RefusedPin) -> bool {
        self.0.refused_pins.lock().unwrap_or_else(PoisonError::into_inner).contains(pin)
    }

    /// Remembers a refused PIN for as long as the process runs: attempts of other keys, and at reloads, would lock the
    /// token.
    pub(super) fn remember_refused(&self, pin: RefusedPin) {
        self.0.refused_pins.lock().unwrap_or_else(PoisonError::into_inner).push(pin);
    }
}

impl fmt::Debug for Pkcs11Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Modules").finish_non_exhaustive()
    }
}

/// A module. Its functions run under a read lock, so that it is never restarted during a call.
pub(super) struct Module {
    path: PathBuf,
    state: RwLock<State>,
    /// Locked while a PIN is tried, so that no other thread tries the same wrong PIN meanwhile.
    login: Mutex<()>,
}

#[derive(Default)]
pub(super) struct State {
    /// The loaded library; `None` before the first use.
    library: Option<Pkcs11>,
    is_initialized: bool,
    /// Whether this value has initialized the module, and not other code of this process.
    is_owner: bool,
    /// Counts the initializations: sessions of an earlier one are invalid.
    pub(super) generation: u64,
}

impl State {
    /// The initialized library.
    pub(super) fn library(&self) -> Result<&Pkcs11, Pkcs11Error> {
        self.library.as_ref().filter(|_| self.is_initialized).ok_or(Pkcs11Error::SessionEnded)
    }

    fn load(&mut self, path: &Path) -> Result<(), Pkcs11Error> {
        let unusable = |reason: String| Pkcs11Error::Module { path: path.to_owned(), reason };
        let library = match &self.library {
            Some(library) => library,
            None if cfg!(all(target_os = "linux", target_feature = "crt-static")) => {
                return Err(unusable("this program is linked statically, and can't load libraries".to_owned()));
            }
            None => {
                let loaded = Pkcs11::new(path).map_err(|error| unusable(load_error(error)))?;
                // Never unloaded: the library may have threads and exit handlers, which would then run code that is gone.
                std::mem::forget(loaded.clone());
                self.library.insert(loaded)
            }
        };
        match library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) => self.is_owner = true,
            Err(error) if code(&error) == Some(RvError::CryptokiAlreadyInitialized) => self.is_owner = false,
            Err(error) => return Err(unusable(Pkcs11Error::from(error).to_string())),
        }
        self.is_initialized = true;
        self.generation += 1;
        Ok(())
    }

    fn finalize(&mut self) {
        if let Some(library) = self.library.clone().filter(|_| self.is_initialized && self.is_owner) {
            // An error means that the module is not initialized any more.
            let _ = library.finalize();
        }
        self.is_initialized = false;
    }
}

impl Module {
    /// The state for a call of the module, which is loaded and initialized first.
    pub(super) fn initialized(&self) -> Result<RwLockReadGuard<'_, State>, Pkcs11Error> {
        loop {
            let state = self.state();
            if state.is_initialized {
                return Ok(state);
            }
            drop(state);
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            if !state.is_initialized {
                state.load(&self.path)?;
            }
        }
    }

    /// The state as it is.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state as it is; `None` if the module is being restarted.
    pub(super) fn try_state(&self) -> Option<RwLockReadGuard<'_, State>> {
        self.state.try_read().ok()
    }

    /// Waits until no other thread logs in.
    pub(super) fn lock_login(&self) -> MutexGuard<'_, ()> {
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finalizes the module, so that the next use initializes it again: many modules don't notice a token that has
    /// come back. It does nothing if the module is in use, or has been restarted since `generation`.
    pub(super) fn restart(&self, generation: u64) {
        if let Ok(mut state) = self.state.try_write()
            && state.generation == generation
        {
            state.finalize();
        }
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.state.get_mut().unwrap_or_else(PoisonError::into_inner).finalize();
    }
}

/// The text of an error of loading, without the name of the crate that loads libraries.
fn load_error(error: CryptokiError) -> String {
    match error {
        CryptokiError::LibraryLoading(error) => error.to_string(),
        CryptokiError::MissingSymbol(name) => format!("it has no function {name}"),
        error => Pkcs11Error::from(error).to_string(),
    }
}
