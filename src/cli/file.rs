//! Reads small files that options name: keys, certificates, passwords and tokens.

use gce_metadata_support::file::with_owner;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use zeroize::Zeroizing;

const MIB: u64 = 1024 * 1024;

/// The path that stands for standard input.
pub(crate) const STDIN: &str = "-";

/// Reads a file of at most one MiB. It may be a pipe, as in `--key-pass-file <(pass show key)`.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path).map_err(|error| with_owner(path, error))?;
    // Allocate the whole buffer at once: growing it would leave copies of the secret in freed memory. A pipe has length 0.
    let length = file.metadata()?.len().min(MIB);
    read_from(file, usize::try_from(length).unwrap_or_default())
}

/// Reads a file as [`read`] does, or standard input if the path is `-`.
pub(crate) fn read_or_stdin(path: &Path) -> io::Result<Zeroizing<String>> {
    if path == Path::new(STDIN) { read_from(io::stdin(), 4096) } else { read(path) }
}

fn read_from(source: impl Read, capacity: usize) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    source.take(MIB + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MIB {
        let problem = "larger than 1 MiB, the limit for a key, a certificate, a password or a token: give another file";
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
