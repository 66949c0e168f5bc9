//! A value that is loaded from files, and reloaded when they change.

use super::error::{CredentialError, Unusable};
use super::file_digests::FileDigests;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A value that is loaded from files.
pub(super) struct Reloadable<T> {
    /// The files that every load reads. Their content may name more files.
    own: Vec<PathBuf>,
    /// Locked only to read or replace the pointer, because requests wait for the lock.
    current: Mutex<Arc<T>>,
    /// Locked while files are read and a TPM opens a key; only reloads wait for the lock.
    digests: Mutex<FileDigests>,
}

/// A loaded value and the other files that were read for it.
pub(super) type Loaded<T> = Result<(T, Vec<PathBuf>), Unusable>;

impl<T> Reloadable<T> {
    pub(super) fn new(own: Vec<PathBuf>, load: impl Fn() -> Loaded<T>) -> Result<Self, Unusable> {
        let (loaded, digests) = load_settled(FileDigests::of(own.clone()), &own, load);
        Ok(Self { own, current: Mutex::new(Arc::new(loaded?)), digests: Mutex::new(digests) })
    }

    /// The value that was last loaded successfully.
    pub(super) fn current(&self) -> Arc<T> {
        Arc::clone(&lock(&self.current))
    }

    /// All files whose changes cause a reload, including those that made the last one fail.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        lock(&self.digests).files().cloned().collect()
    }

    /// Reloads the value if a file has changed, and returns whether that succeeded. A failed reload keeps the current
    /// value, and is not repeated until a file changes again.
    pub(super) fn reload(&self, load: impl Fn(&T) -> Loaded<T>) -> Option<Result<(), CredentialError>> {
        let mut digests = lock(&self.digests);
        let changed = digests.changed()?;
        let (loaded, changed) = load_settled(changed, &self.own, || load(&self.current()));
        *digests = changed;
        let loaded = loaded.map_err(|Unusable { error, .. }| error);
        let old = loaded.map(|loaded| std::mem::replace(&mut *lock(&self.current), Arc::new(loaded)));
        // The old value is dropped without the lock, because that may wait for a thread to end.
        drop(digests);
        Some(old.map(drop))
    }
}

/// Loads the value, and returns the digests of its files from before the read. If the load read files without an
/// earlier digest, they may have changed since, and no later comparison would detect that. So the value is loaded once
/// more.
fn load_settled<T>(
    digests: FileDigests,
    own: &[PathBuf],
    load: impl Fn() -> Loaded<T>,
) -> (Result<T, Unusable>, FileDigests) {
    let all = |loaded: &Loaded<T>| {
        let (Ok((_, files)) | Err(Unusable { files, .. })) = loaded;
        own.iter().chain(files).cloned().collect::<Vec<_>>()
    };
    let mut loaded = load();
    let mut files = all(&loaded);
    let are_known = files.iter().all(|file| digests.files().any(|known| known == file));
    let mut digests = digests.with_files(files);
    if !are_known {
        loaded = load();
        files = all(&loaded);
        digests = digests.with_files(files);
    }
    (loaded.map(|(value, _)| value), digests)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;

    /// The first file names a second one, which changes right after it is read.
    #[test]
    fn a_file_that_changes_during_the_first_load_is_loaded_again() {
        let folder = tempfile::tempdir().unwrap();
        let [own, named] = ["own", "named"].map(|name| folder.path().join(name));
        fs::write(&own, "it names the other").unwrap();
        fs::write(&named, "old").unwrap();
        let times = Cell::new(0);
        let load = || {
            let read = fs::read_to_string(&named).unwrap();
            times.set(times.get() + 1);
            fs::write(&named, "new").unwrap();
            Ok((read, vec![named.clone()]))
        };
        let reloadable = Reloadable::new(vec![own], load).unwrap();
        assert_eq!((reloadable.current().as_str(), times.get()), ("new", 2));
        assert!(reloadable.reload(|_| load()).is_none(), "nothing has changed");
        fs::write(&named, "newer").unwrap();
        assert!(reloadable.reload(|_| load()).is_some_and(|it| it.is_ok()));
        assert_eq!((reloadable.current().as_str(), times.get()), ("newer", 3), "all files are known");
    }
}
