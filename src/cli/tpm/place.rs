//! Where something goes to that exists nowhere else: looked at before it is made, so that it can be put there then.

use anyhow::{Context, anyhow};
use gce_metadata_server::certs::create_file;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A new file. Until there is something to put into it nothing is there, for the program may be ended while it waits.
pub(super) struct Place<'a> {
    path: &'a Path,
    mode: u32,
}

impl<'a> Place<'a> {
    pub(super) fn find(path: &'a Path, mode: u32) -> anyhow::Result<Self> {
        rehearse(path, mode).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("{} is there already: remove it, or choose another file", path.display())
            }
            _ => anyhow!("{}: {error}", path.display()),
        })?;
        Ok(Self { path, mode })
    }

    pub(super) fn is_at(&self, path: &Path) -> bool {
        real(path).is_ok_and(|path| real(self.path).is_ok_and(|own| own == path))
    }

    pub(super) fn fill(self, content: &str) -> anyhow::Result<()> {
        create_file(self.path, content, self.mode).with_context(|| self.path.display().to_string())
    }
}

/// Makes such a file, and takes it away again at once.
fn rehearse(path: &Path, mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let allowed = file.set_permissions(Permissions::from_mode(mode));
    fs::remove_file(path)?;
    allowed
}

/// The path of a file that need not be there, whatever links lead to its folder.
fn real(path: &Path) -> io::Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(fs::canonicalize(folder)?.join(path.file_name().unwrap_or_default()))
}
