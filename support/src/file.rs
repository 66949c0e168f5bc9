//! Size-limited reads of files: a wrong or hostile file must not exhaust the memory.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
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
        io::Error::new(ErrorKind::FileTooLarge, problem)
    }
}

/// Reads a regular file of limited size. A pipe or a device is an error: it could block, and could not be read again.
///
/// # Errors
/// If the file is too large, not regular, or can't be read. An error for a missing permission names the owner of the file: keys
/// are readable by their owner only, and a container runs as another user.
pub fn read(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    read_regular(path, limit).map_err(|error| with_owner(path, error))
}

fn read_regular(path: &Path, limit: Limit) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
    }
    let file = File::open(path)?;
    // The length is a hint, because the file may grow. The buffer is allocated at full size, because a reallocation
    // would leave a copy of a secret in the freed memory.
    let length = file.metadata()?.len().min(limit.bytes());
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(limit.bytes() + 1).read_to_end(&mut content)?;
    if content.len() as u64 > limit.bytes() { Err(limit.exceeded()) } else { Ok(content) }
}

/// Adds the owner of the file and the remedy to an error for a missing permission. Leaves other errors unchanged.
pub fn with_owner(path: &Path, error: io::Error) -> io::Error {
    match owner_hint(path).filter(|_| error.kind() == ErrorKind::PermissionDenied) {
        Some(hint) => io::Error::new(ErrorKind::PermissionDenied, format!("{error}{hint}")),
        None => error,
    }
}

/// The remedy if the file, or else the first folder above it that this user can't open, is closed to users other than its owner.
/// `None` if the permission bits are not the cause.
fn owner_hint(path: &Path) -> Option<String> {
    let (place, metadata) = path.ancestors().find_map(|place| Some((place, fs::metadata(place).ok()?)))?;
    let needed = if metadata.is_dir() { 0o001 } else { 0o004 };
    if metadata.mode() & needed != 0 {
        return None;
    }
    let place = if place == path { "it".to_owned() } else { place.display().to_string() };
    let (user, group) = (metadata.uid(), metadata.gid());
    Some(format!(
        "; {place} belongs to user {user}: run as this user (a container with --user {user}:{group}), or let other users read it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_above_the_size_limit_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::create(&path).unwrap();
        file.set_len(Limit::PEM.bytes()).unwrap();
        assert_eq!(read(&path, Limit::PEM).unwrap().len(), 1024 * 1024);
        file.set_len(Limit::PEM.bytes() + 1).unwrap();
        let error = read(&path, Limit::PEM).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("larger than 1 MiB, the limit for a PEM file: give another"), "{error}");
    }

    /// The error for a file with this mode, and the option of a container for its owner.
    fn denied_with(mode: u32) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        File::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = with_owner(&path, io::Error::from_raw_os_error(13));
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let owner = fs::metadata(&path).unwrap();
        (error.to_string(), format!("--user {}:{})", owner.uid(), owner.gid()))
    }

    #[test]
    fn a_missing_permission_names_the_owner_as_the_user_of_a_container() {
        let (text, user) = denied_with(0o640);
        assert!(text.starts_with("Permission denied (os error 13); it belongs to user "), "{text}");
        assert!(text.contains(&user), "{text}");
    }

    #[test]
    fn a_missing_permission_for_a_world_readable_file_has_another_cause_than_its_owner() {
        assert_eq!(denied_with(0o644).0, "Permission denied (os error 13)");
    }

    #[test]
    fn below_a_closed_folder_the_owner_of_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // As for a user who can't look into the folder, the file has no metadata.
        let hint = owner_hint(&folder.path().join("key.pem")).unwrap();
        assert!(hint.starts_with(&format!("; {} belongs to user ", folder.path().display())), "{hint}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_with_a_reported_length_of_zero_is_read() {
        // Files in /proc report a length of 0.
        let content = read(Path::new("/proc/self/status"), Limit::PEM).unwrap();
        assert!(content.starts_with(b"Name:"));
    }
}
