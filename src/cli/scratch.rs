//! Temporary folders for client programs: an empty gcloud folder, an empty home.
//!
//! `exec` removes its folder when it ends. After a SIGKILL the next `exec` removes it: a folder whose lock file is not locked
//! belongs to no running process. `env` leaves its folder to `env --unset`.

use anyhow::Context;
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use tempfile::{Builder, TempDir};

const EXEC_PREFIX: &str = "gce-metadata-server-exec-";
const ENV_PREFIX: &str = "gce-metadata-server-env-";
const LOCK: &str = "lock";

/// The temporary folder of `exec`. It is removed when dropped.
#[derive(Debug)]
pub(super) struct ScratchFolder {
    folder: TempDir,
    /// Locked as long as this process runs.
    _lock: File,
}

impl ScratchFolder {
    /// Creates a folder below `parent`, and removes those of killed processes.
    pub(super) fn create(parent: &Path) -> anyhow::Result<Self> {
        remove_abandoned(parent);
        let context =
            || format!("can't create a folder in {}; set TMPDIR to a folder that is writable", parent.display());
        loop {
            let folder = Builder::new().prefix(EXEC_PREFIX).tempdir_in(parent).with_context(context)?;
            let lock = File::create_new(folder.path().join(LOCK)).with_context(context)?;
            // Before the lock is taken, another process may consider the folder abandoned and remove it. On a file system without
            // locks, abandoned folders are not removed.
            let is_locked_by_another = matches!(lock.try_lock(), Err(TryLockError::WouldBlock));
            if !is_locked_by_another && folder.path().join(LOCK).exists() {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// Creates an empty folder of this name within.
    pub(super) fn subfolder(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.folder.path().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }
}

fn remove_abandoned(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()).filter(|path| is_own_folder(path, EXEC_PREFIX)) {
        let Ok(lock) = File::open(folder.join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Whether this is a folder (not a link) with this prefix that belongs to this user.
fn is_own_folder(path: &Path, prefix: &str) -> bool {
    let has_prefix = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix));
    let own = rustix::process::geteuid().as_raw();
    has_prefix && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own)
}

/// Creates the empty folder of `env`, which stays until [`remove_env_folder`].
pub(super) fn create_env_folder(parent: &Path) -> anyhow::Result<PathBuf> {
    let folder = Builder::new().prefix(ENV_PREFIX).tempdir_in(parent);
    let folder = folder.with_context(|| format!("can't create a folder in {}", parent.display()))?;
    Ok(folder.keep())
}

/// Whether [`create_env_folder`] has created this folder.
pub(super) fn is_env_folder(folder: &Path) -> bool {
    is_own_folder(folder, ENV_PREFIX)
}

/// Removes a folder of [`create_env_folder`].
pub(super) fn remove_env_folder(folder: &Path) -> anyhow::Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("can't remove {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_folder_is_removed_when_dropped() {
        let parent = tempfile::tempdir().unwrap();
        let scratch = ScratchFolder::create(parent.path()).unwrap();
        let gcloud = scratch.subfolder("gcloud").unwrap();
        fs::write(gcloud.join("gce"), "True").unwrap();
        drop(scratch);
        assert_eq!(names(parent.path()), [""; 0]);
    }

    #[test]
    fn folders_of_killed_processes_are_removed_and_those_in_use_are_kept() {
        let parent = tempfile::tempdir().unwrap();
        let used = ScratchFolder::create(parent.path()).unwrap();
        let abandoned = parent.path().join(format!("{EXEC_PREFIX}killed"));
        fs::create_dir_all(abandoned.join("gcloud")).unwrap();
        fs::write(abandoned.join(LOCK), "").unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join(LOCK), "").unwrap();
        let next = ScratchFolder::create(parent.path()).unwrap();
        assert!(!abandoned.exists());
        assert!(used.folder.path().exists() && next.folder.path().exists() && other.exists());
    }

    #[test]
    fn a_link_and_the_folder_of_another_program_are_not_folders_of_env() {
        let parent = tempfile::tempdir().unwrap();
        let folder = create_env_folder(parent.path()).unwrap();
        let link = parent.path().join(format!("{ENV_PREFIX}link"));
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(is_env_folder(&folder) && !is_env_folder(&link) && !is_env_folder(parent.path()));
        remove_env_folder(&folder).unwrap();
        assert!(!folder.exists());
    }
}
