//! Locks the file of guest attributes, so that a second server with the same file does not start: each would overwrite the
//! changes of the other, without an error.
//!
//! The lock is on another file beside it, `FILE.lock`, because each save replaces the file itself. Releasing the lock removes
//! `FILE.lock`. A server that was killed leaves it behind unlocked, and the next server locks it again.

use super::GuestAttributesError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// An exclusive lock. Dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Closing it releases the lock.
    _file: File,
}

impl Lock {
    /// Locks the file of guest attributes at this path. The file need not exist.
    pub(crate) fn acquire(path: &Path) -> Result<Self, GuestAttributesError> {
        let mut lock = super::resolved(path).into_os_string();
        lock.push(".lock");
        let path_of_lock = PathBuf::from(lock);
        let unusable = |error| GuestAttributesError::Unwritable { path: path_of_lock.clone(), error };
        loop {
            let file = open(&path_of_lock).map_err(unusable)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(GuestAttributesError::InUse { path: path.to_owned() }),
                // Some file systems have no locks. The server starts all the same.
                Err(TryLockError::Error(error)) => {
                    let path = path_of_lock.display();
                    tracing::warn!(%path, "can't be locked: {error}; make sure that no other server uses the same file");
                }
            }
            // The server that held the lock may have removed the file between `open` and `try_lock`.
            if is_at(&file, &path_of_lock).map_err(unusable)? {
                return Ok(Self { path: path_of_lock, _file: file });
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(super::MODE).open(path)
}

/// Whether this path leads to this open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(metadata) => Ok(identity(metadata) == identity(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed before the lock is released, so that this does not remove the file of a server that locks it next.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_locked_file_can_not_be_locked_again_by_any_path() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&path, "{}").unwrap();
        symlink("file", &link).unwrap();
        let lock = Lock::acquire(&link).unwrap();
        for taken in [&path, &link, &folder.path().join("./file")] {
            let error = Lock::acquire(taken).unwrap_err().to_string();
            let wanted = "another server keeps guest attributes in this file: stop it, or choose another file";
            assert_eq!(error, format!("{}: {wanted}", taken.display()));
        }
        drop(lock);
        let lock = Lock::acquire(&path).unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no lock file is left");
    }

    #[test]
    fn a_stale_lock_file_is_locked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(folder.path().join("file.lock"), "").unwrap();
        let _lock = Lock::acquire(&path).unwrap();
        assert!(Lock::acquire(&path).is_err());
    }

    #[test]
    fn a_removed_lock_file_is_not_at_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file.lock");
        let file = open(&path).unwrap();
        assert!(is_at(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_at(&file, &path).unwrap());
        let other = open(&path).unwrap();
        assert!(!is_at(&file, &path).unwrap() && is_at(&other, &path).unwrap());
    }
}
