//! What is made of files, and is made anew when they have changed.

use super::CredentialError;
use super::file::Unusable;
use super::seen::Seen;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) struct Renewed<T> {
    /// Its own files, whatever is in them.
    own: Vec<PathBuf>,
    /// Locked for as long as a look takes: requests wait for it.
    current: Mutex<Arc<T>>,
    /// Locked for as long as the disk and a TPM take: only who looks after the files waits for it.
    seen: Mutex<Seen>,
}

/// What was made, and other files that were read for it.
pub(super) type Made<T> = Result<(T, Vec<PathBuf>), Unusable>;

impl<T> Renewed<T> {
    pub(super) fn new(own: Vec<PathBuf>, make: impl FnOnce() -> Made<T>) -> Result<Self, Unusable> {
        let seen = Seen::of(own.clone());
        let (made, files) = make()?;
        let seen = Mutex::new(seen.with_files(own.iter().cloned().chain(files)));
        Ok(Self { own, current: Mutex::new(Arc::new(made)), seen })
    }

    /// What could last be made.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&lock(&self.current))
    }

    /// All files in which a change would matter, also those that keep it from being made.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        lock(&self.seen).files().cloned().collect()
    }

    /// Makes it anew if files have changed, and says whether that went well. A file that is gone or has a mistake changes
    /// nothing, and is tried once.
    pub(super) fn renew(&self, make: impl FnOnce(&T) -> Made<T>) -> Option<Result<(), CredentialError>> {
        let mut seen = lock(&self.seen);
        let now = seen.again()?;
        let (made, files) = match make(&self.current()) {
            Ok((made, files)) => (Ok(made), files),
            Err(Unusable { error, files }) => (Err(error), files),
        };
        *seen = now.with_files(self.own.iter().cloned().chain(files));
        let old = made.map(|made| std::mem::replace(&mut *lock(&self.current), Arc::new(made)));
        // What goes with it may take its time, so not while anything is locked.
        drop(seen);
        Some(old.map(drop))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
