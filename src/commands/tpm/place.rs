//! Where something goes to that exists nowhere else: the place is taken before it is made, so that it can be put there then.

use anyhow::{Context, anyhow};
use gce_metadata_server::certs::replace_file;
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A new file, which is gone again if nothing is put into it.
pub(super) struct Place<'a> {
    path: &'a Path,
    mode: u32,
    is_empty: bool,
}

impl<'a> Place<'a> {
    pub(super) fn take(path: &'a Path, mode: u32) -> anyhow::Result<Self> {
        let taken = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
        taken.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("{} is there already: remove it, or choose another file", path.display())
            }
            _ => anyhow!("{}: {error}", path.display()),
        })?;
        Ok(Self { path, mode, is_empty: true })
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| fs::canonicalize(self.path).is_ok_and(|own| own == path))
    }

    pub(super) fn fill(mut self, content: &str) -> anyhow::Result<()> {
        replace_file(self.path, content, self.mode).with_context(|| self.path.display().to_string())?;
        self.is_empty = false;
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_empty {
            let _ = fs::remove_file(self.path);
        }
    }
}
