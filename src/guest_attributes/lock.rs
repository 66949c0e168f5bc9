//! The lock that keeps a second server from using the same file of guest attributes: it would overwrite what the first one
//! saves, without an error on either side.
//!
//! The file itself can't be locked, because each save replaces it by another one. So the lock is on a file beside it, `FILE.lock`,
//! which is removed with the lock. A server that was killed leaves it behind, unlocked: the next one takes it over.

use super::GuestAttributesError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Held as long as the file is used, and released when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    /// Closing it releases the lock.
    _file: File,
}

impl Lock {
    /// Locks this file of guest attributes, which need not exist.
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
                // Not every file system has locks. A server that worked there must not fail to start for that.
                Err(TryLockError::Error(error)) => {
                    let path = path_of_lock.display();
                    tracing::warn!(%path, "can't be locked: {error}; let no other server use the same file");
                }
            }
            // Between opening and locking, the server that held the lock may have removed the file.
            if is_at(&file, &path_of_lock).map_err(unusable)? {
                return Ok(Self { path: path_of_lock, _file: file });
            }
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(super::MODE).open(path)
}

/// Whether this open file is the one at that path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(metadata) => Ok(of(metadata) == of(file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is released: a server that locks the file later must not lose it.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_locked_file_can_not_be_locked_again_by_any_of_its_paths() {
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
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no lock is left");
    }

    #[test]
    fn a_lock_file_that_a_killed_server_left_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(folder.path().join("file.lock"), "").unwrap();
        let _lock = Lock::acquire(&path).unwrap();
        assert!(Lock::acquire(&path).is_err());
    }

    #[test]
    fn a_lock_file_that_was_removed_meanwhile_is_no_lock() {
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
