//! Small files that an option names and that are read once.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

const MIB: u64 = 1024 * 1024;

/// Reads a file with a key, a certificate or a password. It may be a pipe, as in `--key-pass-file <(pass show key)`, but has
/// one MiB at most.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    // The whole room at once: a growing buffer would leave copies of the secret behind. Of a pipe the length is 0.
    let length = file.metadata()?.len().min(MIB);
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(length).unwrap_or_default()));
    file.take(MIB + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MIB {
        let problem = "larger than 1 MiB, the limit for a key, a certificate or a password: give another file";
        return Err(io::Error::new(ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("larger than 1 MiB, the limit for a key"), "{error}");
        assert!(read(Path::new("/dev/null")).unwrap().is_empty());
    }
}
