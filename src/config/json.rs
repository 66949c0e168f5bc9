//! JSON in a file that a person wrote: the value, or the error and its place.

use super::locate::{self, line_and_column};
use serde_json::Value;
use std::str::Utf8Error;

/// Why a file is not JSON. It contains no value of the file, which may be a secret.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The column, from 1.
    pub(crate) column: usize,
    /// The place in the JSON: keys, and indices as `[0]`.
    pub(crate) place: String,
    pub(crate) problem: String,
}

/// Makes JSON of what was read of a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, Mistake> {
    let mistake = |(line, column), place, problem| Mistake { line, column, place, problem };
    let text = utf8(bytes).map_err(|error| {
        mistake(line_and_column(&bytes[..error.valid_up_to()]), ".".to_owned(), "not UTF-8".to_owned())
    })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| (place(error.path()), error.into_inner()))
        .and_then(|json| deserializer.end().map(|()| json).map_err(|error| (".".to_owned(), error)))
        .map_err(|(place, error)| {
            let problem = error.to_string();
            // serde_json says the place once more at the end.
            let problem = problem.split_once(" at line ").map_or(&*problem, |(problem, _)| problem).to_owned();
            mistake((error.line(), error.column()), place, problem)
        })
}

/// Line and column of the value at a path; 1:1 if there is none.
pub(crate) fn locate(bytes: &[u8], path: &[String]) -> (usize, usize) {
    locate::locate(utf8(bytes).unwrap_or_default(), path).unwrap_or((1, 1))
}

/// The text without the byte order mark that some editors write.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}'))
}

/// The path without the `?` for a key that could not even be read.
fn place(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    match path.trim_end_matches('?').trim_end_matches('.') {
        "" => ".".to_owned(),
        known => known.to_owned(),
    }
}
