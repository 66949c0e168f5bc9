//! Reading files that are read again and again.

use std::io;
use std::path::Path;

/// Reads a file whose end comes, and which is there the next time too: a pipe would be waited for.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)?.is_file() {
        true => std::fs::read(path),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}
