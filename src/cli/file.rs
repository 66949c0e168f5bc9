//! Reads small files that options name: keys, certificates and passwords.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

const MIB: u64 = 1024 * 1024;

/// Reads a file of at most one MiB. It may be a pipe, as in `--key-pass-file <(pass show key)`.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    // Allocate the whole buffer at once: growing it would leave copies of the secret in freed memory. A pipe has length 0.
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
    fn an_endless_device_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert!(error.to_string().starts_with("larger than 1 MiB, the limit for a key"), "{error}");
        assert!(read(Path::new("/dev/null")).unwrap().is_empty());
    }
}
