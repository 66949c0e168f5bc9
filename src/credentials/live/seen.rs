//! Files, and what they held when they were last looked at.

use crate::files::{self, Limit};
use aws_lc_rs::digest;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// What each file holds, or why that can't be told: a hash, for there are keys in them.
#[derive(PartialEq)]
pub(super) struct Seen(BTreeMap<PathBuf, Result<Vec<u8>, ErrorKind>>);

impl Seen {
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|file| (file.clone(), hash(&file))).collect())
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.0.keys()
    }

    /// What the files hold now, if that is something else.
    pub(super) fn again(&self) -> Option<Self> {
        let now = Self::of(self.files().cloned());
        (now != *self).then_some(now)
    }

    /// The same of these files. What is known of them already is from before they were read, so that a change since shows.
    pub(super) fn with_files(mut self, files: impl IntoIterator<Item = PathBuf>) -> Self {
        let known = |file: PathBuf| {
            let held = self.0.remove(&file).unwrap_or_else(|| hash(&file));
            (file, held)
        };
        Self(files.into_iter().map(known).collect())
    }
}

fn hash(file: &Path) -> Result<Vec<u8>, ErrorKind> {
    let bytes = files::read(file, Limit::CREDENTIALS).map(Zeroizing::new).map_err(|error| error.kind())?;
    Ok(digest::digest(&digest::SHA256, &bytes).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_shows_once() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        std::fs::write(&one, "1").unwrap();
        let seen = Seen::of([one.clone(), other.clone()]);
        assert!(seen.again().is_none());
        std::fs::write(&other, "2").unwrap();
        let now = seen.again().expect("a file has come into being");
        assert!(now.again().is_none());
        // While it was read: what is known is older.
        std::fs::write(&other, "3").unwrap();
        let now = now.with_files([other]);
        assert_eq!(now.files().count(), 1);
        assert!(now.again().is_some());
    }
}
