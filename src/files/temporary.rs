//! The temporary file that a new content is written to before it gets its name.
//!
//! A writer that is killed leaves its temporary file behind, with all the secrets of the content. The next writer in the same
//! folder, such as a server that starts again, removes it. Its name says that it is one, and a lock that ends with the writer's
//! process says that it is in use.

use aws_lc_rs::rand::fill;
use std::fs::{self, DirEntry, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".gce-metadata-server-";
const SUFFIX: &str = ".new";
/// 128 bits at random in hex, so that no two names are the same.
const DIGITS: usize = 32;

/// A temporary file. It is removed when dropped, unless it has been renamed.
pub(super) struct Temporary {
    path: PathBuf,
    /// Locked while it is open.
    file: File,
}

impl Temporary {
    /// A new file in this folder, from which those that killed writers left behind are removed.
    pub(super) fn create(folder: &Path, mode: u32) -> io::Result<Self> {
        remove_abandoned(folder);
        loop {
            let mut random = [0; DIGITS / 2];
            fill(&mut random).map_err(io::Error::other)?;
            let path = folder.join(format!("{PREFIX}{:0DIGITS$x}{SUFFIX}", u128::from_ne_bytes(random)));
            let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
            let temporary = Self { path, file };
            // Another writer may take it for abandoned until it is locked. Where the file system has no locks, abandoned files
            // stay.
            let is_taken = matches!(temporary.file.try_lock(), Err(TryLockError::WouldBlock));
            if !is_taken && temporary.path.symlink_metadata().is_ok() {
                // The umask has taken away some of the mode.
                temporary.file.set_permissions(Permissions::from_mode(mode))?;
                return Ok(temporary);
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the content to the disk.
    pub(super) fn write(&mut self, content: &[u8]) -> io::Result<()> {
        self.file.write_all(content)?;
        self.file.sync_all()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes temporary files that no living writer has locked. One that can't be opened or removed stays.
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
        // As a writer leaves it that is killed: no lock is held.
        let abandoned = Temporary::create(folder.path(), 0o600).unwrap();
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
        // A link is no file of ours, whatever it leads to.
        let link = format!("{PREFIX}{}{SUFFIX}", "0".repeat(DIGITS));
        std::os::unix::fs::symlink("file.new", folder.path().join(&link)).unwrap();
        let temporary = Temporary::create(folder.path(), 0o600).unwrap();
        let mut left =
            [&others[..], &[link, temporary.path().file_name().unwrap().to_str().unwrap().to_owned()]].concat();
        left.sort();
        assert_eq!(names(folder.path()), left);
    }

    #[test]
    fn the_temporary_file_of_a_living_writer_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (mut first, mut second) =
            (Temporary::create(folder.path(), 0o600).unwrap(), Temporary::create(folder.path(), 0o600).unwrap());
        first.write(b"first").unwrap();
        second.write(b"second").unwrap();
        fs::rename(first.path(), folder.path().join("file")).unwrap();
        drop(second);
        drop(first);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(fs::read(folder.path().join("file")).unwrap(), b"first");
    }

    /// Two servers that write into one folder.
    #[test]
    fn writers_that_remove_abandoned_files_do_not_disturb_each_other() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let target = folder.path().join(writer.to_string());
                let write = move || {
                    for _ in 0..200 {
                        let mut temporary = Temporary::create(target.parent().unwrap(), 0o600).unwrap();
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
