//! Parses the JSON of a file into a value, or into an error with line, column and path.

use super::locate::{self, line_and_column};
use serde_json::Value;
use std::str::Utf8Error;

/// The name of the root of a document in errors, as in `MetadataError`.
const TOP_LEVEL: &str = "top level";

/// A file is not JSON. The error quotes no value of the file, because that may be a secret.
#[derive(Debug)]
pub(crate) struct JsonError {
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// Column, counted from 1.
    pub(crate) column: usize,
    /// Path in the JSON: keys, and indices as `[0]`.
    pub(crate) place: String,
    pub(crate) problem: String,
}

/// Parses the content of a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let error_at = |(line, column), place, problem| JsonError { line, column, place, problem };
    let text = utf8(bytes).map_err(|error| {
        error_at(
            line_and_column(&bytes[..error.valid_up_to()]),
            TOP_LEVEL.to_owned(),
            "the file is not UTF-8".to_owned(),
        )
    })?;
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(json);
    }
    // Again for the path of the error, because recording the path doubles the time.
    let mut deserializer = serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| (place(error.path()), error.into_inner()))
        .and_then(|json| deserializer.end().map(|()| json).map_err(|error| (TOP_LEVEL.to_owned(), error)))
        .map_err(|(place, error)| {
            let problem = error.to_string();
            // Remove the line and the column that serde_json appends.
            let problem = problem.split_once(" at line ").map_or(&*problem, |(problem, _)| problem).to_owned();
            error_at((error.line(), error.column()), place, problem)
        })
}

/// Line and column of the value at a path; 1:1 if the path does not exist.
pub(crate) fn locate(bytes: &[u8], path: &[String]) -> (usize, usize) {
    locate::locate(utf8(bytes).unwrap_or_default(), path).unwrap_or((1, 1))
}

/// The text without a byte order mark, which some editors add.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Utf8Error> {
    std::str::from_utf8(bytes).map(|text| text.trim_start_matches('\u{feff}'))
}

/// The path without the trailing `?`, which stands for a key with a syntax error.
fn place(path: &serde_path_to_error::Path) -> String {
    let path = path.to_string();
    match path.trim_end_matches('?').trim_end_matches('.') {
        "" => TOP_LEVEL.to_owned(),
        known => known.to_owned(),
    }
}
