//! Digests of files, to detect changes since the last read.

use aws_lc_rs::digest;
use gce_metadata_support::file::{self, Limit};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The digest of each file, or the error of reading it. The content is not kept, because it contains keys.
#[derive(PartialEq)]
pub(super) struct FileDigests(BTreeMap<PathBuf, Result<Vec<u8>, ErrorKind>>);

impl FileDigests {
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), digest_of(&file))).collect())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// Returns the current digests, if one of them has changed.
    pub(super) fn changed(&self) -> Option<Self> {
        let now = Self::of(self.files().cloned());
        (now != *self).then_some(now)
    }

    /// Returns the digests of these files. Known digests are kept: they are from before the read, so that a change
    /// during the read is detected.
    pub(super) fn with_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = |file: PathBuf| {
            let digest = self.0.remove(&file).unwrap_or_else(|| digest_of(&file));
            (file, digest)
        };
        Self(files.into_iter().map(known).collect())
    }
}

fn digest_of(file: &Path) -> Result<Vec<u8>, ErrorKind> {
    let bytes = file::read(file, Limit::CREDENTIALS).map(Zeroizing::new).map_err(|error| error.kind())?;
    Ok(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_detected_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "1").unwrap();
        let digests = FileDigests::of([one.clone(), other.clone()]);
        assert!(digests.changed().is_none());
        std::fs::write(&other, "2").unwrap();
        let now = digests.changed().expect("a file was created");
        assert!(now.changed().is_none());
        // A change during the read: the known digest is older.
        std::fs::write(&other, "3").unwrap();
        let now = now.with_files([other]);
        assert_eq!(now.files().count(), 1);
        assert!(now.changed().is_some());
    }
}
