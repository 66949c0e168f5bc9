//! Temporary files, to which new content is written before it is renamed.
//!
//! A writer that is killed leaves its temporary file behind, which may contain secrets. The next writer in the same folder, such as
//! the restarted server, removes it. It recognises temporary files by their names, and a file in use by its lock, which ends with
//! the process of its writer.

use aws_lc_rs::rand::fill;
use std::fs::{self, DirEntry, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".gce-metadata-server-";
const SUFFIX: &str = ".new";
/// 128 random bits in hexadecimal, so that names do not collide.
const DIGITS: usize = 32;

/// A temporary file. It is removed when dropped, unless it has been renamed.
pub(super) struct TemporaryFile {
    path: PathBuf,
    /// Locked as long as it is open.
    file: File,
}

impl TemporaryFile {
    /// Creates a file in this folder, and removes abandoned ones.
    pub(super) fn create(folder: &Path, mode: u32) -> io::Result<Self> {
        remove_abandoned(folder);
        loop {
            let mut random = [0; DIGITS / 2];
            fill(&mut random).map_err(io::Error::other)?;
            let path = folder.join(format!("{PREFIX}{:0DIGITS$x}{SUFFIX}", u128::from_ne_bytes(random)));
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            let temporary = Self { path, file };
            // Before the lock is taken, another writer may consider the file abandoned and remove it. On a file system without
            // locks, abandoned files are not removed.
            let is_locked_by_another = matches!(temporary.file.try_lock(), Err(TryLockError::WouldBlock));
            if !is_locked_by_another && temporary.path.symlink_metadata().is_ok() {
                // `open` applies the umask to the mode.
                temporary.file.set_permissions(Permissions::from_mode(mode))?;
                return Ok(temporary);
            }
        }
    }

    /// Path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the content and syncs it to the disk.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        self.file.sync_all()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes temporary files that no running writer has locked. Files that can't be opened or removed are left.
fn remove_abandoned(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for path in entries.filter(is_temporary).map(|entry| entry.path()) {
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() {
            let _ = fs::remove_file(&path);
        }
    }
}

fn is_temporary(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let digits = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX));
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_hex))
        && entry.file_type().is_ok_and(|kind| kind.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn abandoned_temporary_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        // A killed writer leaves the file without a lock.
        let abandoned = TemporaryFile::create(folder.path(), 0o600).unwrap();
        let name = abandoned.path().file_name().unwrap().to_str().unwrap().to_owned();
        abandoned.file.unlock().unwrap();
        let others = [
            name.to_uppercase(),
            name.replace(".new", ".old"),
            name.replace(".new", "0.new"),
            name.replacen('.', "", 1),
            "file.new".to_owned(),
        ];
        for other in &others {
            fs::write(folder.path().join(other), "another program's").unwrap();
        }
        // A link is never a temporary file.
        let link = format!("{PREFIX}{}{SUFFIX}", "0".repeat(DIGITS));
        std::os::unix::fs::symlink("file.new", folder.path().join(&link)).unwrap();
        let temporary = TemporaryFile::create(folder.path(), 0o600).unwrap();
        let mut left =
            [&others[..], &[link, temporary.path().file_name().unwrap().to_str().unwrap().to_owned()]].concat();
        left.sort();
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn the_temporary_file_of_a_running_writer_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut second) = (
            TemporaryFile::create(folder.path(), 0o600).unwrap(),
            TemporaryFile::create(folder.path(), 0o600).unwrap(),
        );
        first.write(b"first").unwrap();
        second.write(b"second").unwrap();
        fs::rename(first.path(), folder.path().join("file")).unwrap();
        drop(second);
        drop(first);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"first");
    }

    /// As if several servers wrote to one folder.
    #[test]
    fn concurrent_writers_keep_the_files_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let target = folder.path().join(writer.to_string());
                let write = move || {
                    for _ in 0..200 {
                        let mut temporary = TemporaryFile::create(target.parent().unwrap(), 0o600).unwrap();
                        temporary.file.write_all(b"content").unwrap();
                        fs::rename(temporary.path(), &target).unwrap();
                    }
                };
                std::thread::Builder::new().spawn_scoped(scope, write).unwrap();
            }
        });
        assert_eq!(names(folder.path()), ["0", "1", "2", "3"]);
    }
}
