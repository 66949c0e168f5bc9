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
    pub(super) fn new(own: Vec<PathBuf>, make: impl Fn() -> Made<T>) -> Result<Self, Unusable> {
        let (made, seen) = settled(Seen::of(own.clone()), &own, make);
        Ok(Self { own, current: Mutex::new(Arc::new(made?)), seen: Mutex::new(seen) })
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
    pub(super) fn renew(&self, make: impl Fn(&T) -> Made<T>) -> Option<Result<(), CredentialError>> {
        let mut seen = lock(&self.seen);
        let now = seen.again()?;
        let (made, now) = settled(now, &self.own, || make(&self.current()));
        *seen = now;
        let made = made.map_err(|Unusable { error, .. }| error);
        let old = made.map(|made| std::mem::replace(&mut *lock(&self.current), Arc::new(made)));
        // What goes with it may take its time, so not while anything is locked.
        drop(seen);
        Some(old.map(drop))
    }
}

/// Makes it, and says what is known of its files from before they were read. Those that only show while it is made are looked
/// at, and it is made once more: they may have changed in between, which nobody would ever notice.
fn settled<T>(seen: Seen, own: &[PathBuf], make: impl Fn() -> Made<T>) -> (Result<T, Unusable>, Seen) {
    let all = |made: &Made<T>| {
        let (Ok((_, files)) | Err(Unusable { files, .. })) = made;
        own.iter().chain(files).cloned().collect::<Vec<_>>()
    };
    let mut made = make();
    let mut files = all(&made);
    let are_known = files.iter().all(|file| seen.files().any(|known| known == file));
    let mut seen = seen.with_files(files);
    if !are_known {
        made = make();
        files = all(&made);
        seen = seen.with_files(files);
    }
    (made.map(|(made, _)| made), seen)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::fs;

    /// A file that names another one, which changes right after it was read.
    #[test]
    fn what_changes_while_it_is_read_first_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let [own, named] = ["own", "named"].map(|name| folder.path().join(name));
        fs::write(&own, "it names the other").unwrap();
        fs::write(&named, "old").unwrap();
        let times = Cell::new(0);
        let make = || {
            let read = fs::read_to_string(&named).unwrap();
            times.set(times.get() + 1);
            fs::write(&named, "new").unwrap();
            Ok((read, vec![named.clone()]))
        };
        let renewed = Renewed::new(vec![own], make).unwrap();
        assert_eq!((renewed.current().as_str(), times.get()), ("new", 2));
        assert!(renewed.renew(|_| make()).is_none(), "nothing has changed since");
        fs::write(&named, "newer").unwrap();
        assert!(renewed.renew(|_| make()).is_some_and(|it| it.is_ok()));
        assert_eq!((renewed.current().as_str(), times.get()), ("newer", 3), "all files are known");
    }
}
