//! Size-limited reads of files: a wrong or hostile file must not exhaust the memory.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// The maximum size of one kind of file, far above the size of real ones.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    mib: u64,
    kind: &'static str,
}

impl Limit {
    /// Config files: the dump of a VM may be large.
    pub const CONFIG: Self = Self { mib: 64, kind: "a config file" };
    /// Guest attributes: those of the config and those that guests add.
    pub const GUEST_ATTRIBUTES: Self = Self { mib: 64, kind: "a file of guest attributes" };
    /// Certificates and keys.
    pub const PEM: Self = Self { mib: 1, kind: "a PEM file" };
    /// Root certificates: those of a system have a few hundred kilobytes.
    pub const ROOTS: Self = Self { mib: 16, kind: "a file of root certificates" };
    /// Revocation lists: those of large certificate authorities have tens of megabytes.
    pub const REVOCATION_LIST: Self = Self { mib: 64, kind: "a revocation list" };
    /// PINs of tokens.
    pub const PIN: Self = Self { mib: 1, kind: "a file with a PIN" };
    /// Credentials files of every type.
    pub const CREDENTIALS: Self = Self { mib: 1, kind: "a credentials file" };
    /// Subject tokens of workload identity federation.
    pub const SUBJECT_TOKEN: Self = Self { mib: 1, kind: "a file with a subject token" };

    fn bytes(self) -> u64 {
        self.mib * 1024 * 1024
    }

    fn exceeded(self) -> io::Error {
        let Self { mib, kind } = self;
        let problem = format!("larger than {mib} MiB, the limit for {kind}: give another file, or reduce this one");
        io::Error::new(io::ErrorKind::FileTooLarge, problem)
    }
}

/// Reads a regular file of limited size. A pipe or a device is an error: it could block, and could not be read again.
///
/// # Errors
/// If the file is too large, not regular, or can't be read.
pub fn read(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // The length is a hint, because the file may grow. The buffer is allocated at full size, because a reallocation
    // would leave a copy of a secret in the freed memory.
    let length = file.metadata()?.len().min(limit.bytes());
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.bytes() + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit.bytes() { Err(limit.exceeded()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_size_limit_is_an_error() {
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
    fn a_file_with_a_reported_length_of_zero_is_read() {
        // Files in /proc report a length of 0.
        let content = read(Path::new("/proc/self/status"), Limit::PEM).unwrap();
        assert!(content.starts_with(b"Name:"));
    }
}
