//! Files that are read again and again, and files that are replaced while others read them.

use aws_lc_rs::rand::fill;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// The most bytes that are read of one kind of file, far more than any such file needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    mib: u64,
    kind: &'static str,
}

impl Limit {
    /// A dump of a VM may be large.
    pub(crate) const CONFIG: Self = Self { mib: 64, kind: "a config file" };
    /// What a config may have of them, and what guests add.
    pub(crate) const GUEST_ATTRIBUTES: Self = Self { mib: 64, kind: "a file of guest attributes" };
    pub(crate) const PEM: Self = Self { mib: 1, kind: "a PEM file" };
    /// The root certificates of a whole system are a few hundred kilobytes.
    pub(crate) const ROOTS: Self = Self { mib: 16, kind: "a file of root certificates" };
    /// The lists of large authorities have tens of megabytes.
    pub(crate) const REVOCATION_LIST: Self = Self { mib: 64, kind: "a revocation list" };
    #[cfg(feature = "live")]
    pub(crate) const CREDENTIALS: Self = Self { mib: 1, kind: "a credentials file" };
    #[cfg(feature = "live")]
    pub(crate) const SUBJECT_TOKEN: Self = Self { mib: 1, kind: "a file with a subject token" };

    fn bytes(self) -> u64 {
        self.mib * 1024 * 1024
    }

    fn exceeded(self) -> io::Error {
        let Self { mib, kind } = self;
        let problem = format!("larger than {mib} MiB, the limit for {kind}: give another file, or make this one smaller");
        io::Error::new(io::ErrorKind::FileTooLarge, problem)
    }
}

/// Reads a regular file of limited size. A pipe or a device is refused: it could block, and could not be read again.
pub(crate) fn read(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = fs::File::open(path)?;
    // The length is only a hint, since the file may grow. Allocated at once, because a larger buffer would leave a copy of a
    // secret in the smaller one.
    let length = file.metadata()?.len().min(limit.bytes());
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.bytes() + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit.bytes() { Err(limit.exceeded()) } else { Ok(content) }
}

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

/// Writes a file beside it, which then is put there. Beside it nothing stays, whether that works or not.
fn put(path: &Path, content: &[u8], mode: u32, place: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Long enough that nobody else's file has this name, however many write here, or have been killed while they did.
    let mut random = [0; 16];
    fill(&mut random).map_err(io::Error::other)?;
    let new = folder.join(format!(".gce-metadata-server-{:032x}.new", u128::from_ne_bytes(random)));
    let placed = write(&new, content, mode).and_then(|()| place(&new));
    let _ = fs::remove_file(&new);
    placed?;
    // The name is the folder's, which has to reach the disk too. Not every file system can be asked for that.
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The umask takes away what was asked for.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = fs::File::create(&path).unwrap();
        file.set_len(Limit::PEM.bytes()).unwrap();
        assert_eq!(read(&path, Limit::PEM).unwrap().len(), 1024 * 1024);
        file.set_len(Limit::PEM.bytes() + 1).unwrap();
        let error = read(&path, Limit::PEM).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("larger than 1 MiB, the limit for a PEM file: give another"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_claims_to_be_empty_is_read() {
        // Files below /proc have no length.
        let content = read(Path::new("/proc/self/status"), Limit::PEM).unwrap();
        assert!(content.starts_with(b"Name:"));
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
}
