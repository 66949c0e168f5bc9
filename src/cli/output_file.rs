//! Output path of a new key or certificate, checked for writability before the device makes the key.

use anyhow::{Context, anyhow};
use gce_metadata_server::certs::create_file;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// A file to create. It is created with its content, so that a program killed earlier leaves no empty file behind.
pub(super) struct OutputFile<'a> {
    path: &'a Path,
    mode: u32,
}

impl<'a> OutputFile<'a> {
    /// Checks that the file can be created.
    ///
    /// # Errors
    /// If it exists, or can't be created.
    pub(super) fn checked(path: &'a Path, mode: u32) -> anyhow::Result<Self> {
        try_create(path, mode).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => {
                anyhow!("{} already exists: remove it, or choose another file", path.display())
            }
            _ => anyhow!("{}: {error}", path.display()),
        })?;
        Ok(Self { path, mode })
    }

    /// Whether the file would be created at this path.
    #[cfg(feature = "tpm")]
    pub(super) fn is_at(&self, path: &Path) -> bool {
        canonical(path).is_ok_and(|path| canonical(self.path).is_ok_and(|own| own == path))
    }

    /// Creates the file with this content.
    pub(super) fn write(self, content: &str) -> anyhow::Result<()> {
        create_file(self.path, content, self.mode).with_context(|| self.path.display().to_string())
    }
}

/// Creates an empty file and removes it.
fn try_create(path: &Path, mode: u32) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    let allowed = file.set_permissions(Permissions::from_mode(mode));
    fs::remove_file(path)?;
    allowed
}

/// The path of a file that may not exist yet, with symbolic links in the path of its folder resolved.
#[cfg(feature = "tpm")]
fn canonical(path: &Path) -> io::Result<std::path::PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(fs::canonicalize(folder)?.join(path.file_name().unwrap_or_default()))
}
