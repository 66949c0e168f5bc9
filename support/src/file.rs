//! Reading files of limited size, so that a wrong or a hostile file does not use up the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The most bytes that are read of one kind of file, far more than any such file needs.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    mib: u64,
    kind: &'static str,
}

impl Limit {
    /// A dump of a VM may be large.
    pub const CONFIG: Self = Self { mib: 64, kind: "a config file" };
    /// Those of a config, and those that guests add.
    pub const GUEST_ATTRIBUTES: Self = Self { mib: 64, kind: "a file of guest attributes" };
    /// Certificates and keys.
    pub const PEM: Self = Self { mib: 1, kind: "a PEM file" };
    /// The root certificates of a whole system are a few hundred kilobytes.
    pub const ROOTS: Self = Self { mib: 16, kind: "a file of root certificates" };
    /// The lists of large authorities have tens of megabytes.
    pub const REVOCATION_LIST: Self = Self { mib: 64, kind: "a revocation list" };
    /// Credentials of any kind.
    pub const CREDENTIALS: Self = Self { mib: 1, kind: "a credentials file" };
    /// A federated workload's token.
    pub const SUBJECT_TOKEN: Self = Self { mib: 1, kind: "a file with a subject token" };

    fn bytes(self) -> u64 {
        self.mib * 1024 * 1024
    }

    fn exceeded(self) -> io::Error {
        let Self { mib, kind } = self;
        let problem =
            format!("larger than {mib} MiB, the limit for {kind}: give another file, or make this one smaller");
        io::Error::new(io::ErrorKind::FileTooLarge, problem)
    }
}

/// Reads a regular file of limited size. A pipe or a device is refused: it could block, and could not be read again.
///
/// # Errors
/// If it is larger, not a regular file, or can't be read.
pub fn read(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // The length is only a hint, since the file may grow. Allocated at once, because a larger buffer would leave a copy of a
    // secret in the smaller one.
    let length = file.metadata()?.len().min(limit.bytes());
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.bytes() + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit.bytes() { Err(limit.exceeded()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_not_beyond() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
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
}
