//! Reads files up to a size limit, and creates or replaces files atomically.

mod temporary;

pub(crate) use gce_metadata_support::file::{Limit, read};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use temporary::TemporaryFile;

/// Replaces a file atomically: a reader, even after a power failure, finds either the old or the new content.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_and_publish(path, content, mode, |new| fs::rename(new, path))
}

/// Creates a file atomically. An existing file is left unchanged, and is an error.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_and_publish(path, content, mode, |new| match fs::hard_link(new, path) {
        // On a file system without hard links, an empty file reserves the path until it is renamed over.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::File::create_new(path).and_then(|_| fs::rename(new, path))
        }
        linked => linked,
    })
}

/// Replaces several files of a folder, given as name, content and mode. All are written to temporary files before the first is
/// replaced: if writing one fails, all stay unchanged. The renames follow each other directly, so that a reader hardly ever finds
/// a new certificate with an old key.
pub(crate) fn replace_all(folder: &Path, files: &[(&str, &str, u32)]) -> io::Result<()> {
    replace_staged(folder, files, &mut Vec::new())
}

/// Writes these files to temporary files, adds them to the staged ones, then renames all.
fn replace_staged(folder: &Path, files: &[(&str, &str, u32)], staged: &mut Vec<(PathBuf, PathBuf)>) -> io::Result<()> {
    let Some(((name, content, mode), others)) = files.split_first() else {
        return staged.iter().try_for_each(|(new, path)| fs::rename(new, path));
    };
    let path = folder.join(name);
    write_and_publish(&path, content.as_bytes(), *mode, |new| {
        staged.push((new.to_owned(), path.clone()));
        replace_staged(folder, others, staged)
    })
}

/// Writes a temporary file in the folder of `path`, and calls `publish` with it, which renames or links it. The temporary file is
/// removed in any case.
fn write_and_publish(
    path: &Path,
    content: &[u8],
    mode: u32,
    publish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = TemporaryFile::create(folder, mode)?;
    new.write(content)?;
    publish(new.path())?;
    drop(new);
    // Sync the folder, which stores the name. Some file systems can't; the content is synced already.
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_failed_replacement_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(folder.path().join("file.new"), "other").unwrap();
        replace(&path, b"old", 0o600).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A file can't be renamed over a folder.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"new", 0o600).is_err());
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "file.new", "taken"]);
        assert_eq!(fs::read(folder.path().join("file.new")).unwrap(), b"other");
    }

    #[test]
    fn create_does_not_replace_an_existing_file_or_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        create(&path, b"first", 0o640).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for path in [&path, &link] {
            assert_eq!(create(path, b"second", 0o640).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn all_files_are_replaced_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let read = || ["a", "b"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        let names = || fs::read_dir(folder.path()).unwrap().count();
        replace_all(folder.path(), &[("a", "old", 0o600), ("b", "old", 0o644)]).unwrap();
        // The folder of the last file does not exist.
        assert!(
            replace_all(folder.path(), &[("a", "new", 0o600), ("b", "new", 0o644), ("c/d", "new", 0o644)]).is_err()
        );
        assert!(read() == ["old", "old"] && names() == 2);
        replace_all(folder.path(), &[("a", "new", 0o640), ("b", "new", 0o644)]).unwrap();
        assert!(read() == ["new", "new"] && names() == 2);
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
