//! Files that are read again and again, and files that are replaced while others read them.

mod temporary;

pub(crate) use gce_metadata_support::file::{Limit, read};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use temporary::Temporary;

/// Writes a file so that whoever reads it, after a power failure too, finds all of the old or all of the new one.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    put(path, content, mode, |new| fs::rename(new, path))
}

/// The same where there is no file yet. If there is one by then, it stays, and that is an error.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    put(path, content, mode, |new| match fs::hard_link(new, path) {
        // Not every file system has hard links. There, an empty file of one's own keeps the place until it is renamed over.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            fs::File::create_new(path).and_then(|_| fs::rename(new, path))
        }
        linked => linked,
    })
}

/// Replaces several files of a folder, given by name, content and mode. All are written under temporary names before the first
/// is replaced: if one can't be written, all stay as they were. They are replaced at once, so that a reader hardly ever finds
/// a new certificate beside an old key.
pub(crate) fn replace_all(folder: &Path, files: &[(&str, &str, u32)]) -> io::Result<()> {
    replace_staged(folder, files, &mut Vec::new())
}

/// Writes these files beside the staged ones, then replaces all.
fn replace_staged(folder: &Path, files: &[(&str, &str, u32)], staged: &mut Vec<(PathBuf, PathBuf)>) -> io::Result<()> {
    let Some(((name, content, mode), others)) = files.split_first() else {
        return staged.iter().try_for_each(|(new, path)| fs::rename(new, path));
    };
    let path = folder.join(name);
    put(&path, content.as_bytes(), *mode, |new| {
        staged.push((new.to_owned(), path.clone()));
        replace_staged(folder, others, staged)
    })
}

/// Writes a temporary file beside it, which is then put in its place. The temporary file is removed in any case.
fn put(path: &Path, content: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = Temporary::create(folder, mode)?;
    new.write(content)?;
    place(new.path())?;
    drop(new);
    // The name is the folder's, which has to reach the disk too. Not every file system can be asked for that.
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_can_not_be_replaced_stays_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(folder.path().join("file.new"), "somebody's").unwrap();
        replace(&path, b"old", 0o600).unwrap();
        replace(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A folder can't be renamed over.
        let taken = folder.path().join("taken");
        fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"new", 0o600).is_err());
        let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "file.new", "taken"]);
        assert_eq!(fs::read(folder.path().join("file.new")).unwrap(), b"somebody's");
    }

    #[test]
    fn what_is_created_takes_no_others_place() {
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
    fn of_several_files_all_are_replaced_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let read = || ["a", "b"].map(|name| fs::read_to_string(folder.path().join(name)).unwrap());
        let names = || fs::read_dir(folder.path()).unwrap().count();
        replace_all(folder.path(), &[("a", "old", 0o600), ("b", "old", 0o644)]).unwrap();
        // The last one's folder is missing.
        assert!(
            replace_all(folder.path(), &[("a", "new", 0o600), ("b", "new", 0o644), ("c/d", "new", 0o644)]).is_err()
        );
        assert!(read() == ["old", "old"] && names() == 2);
        replace_all(folder.path(), &[("a", "new", 0o640), ("b", "new", 0o644)]).unwrap();
        assert!(read() == ["new", "new"] && names() == 2);
        assert_eq!(fs::metadata(folder.path().join("a")).unwrap().permissions().mode() & 0o777, 0o640);
    }
}
