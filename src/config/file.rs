//! The config file: parses its bytes into metadata, or into an error with line, column and path. A config in a text is parsed alike.

use super::document::ConfigDocument;
use super::env::Overrides;
use super::json::{self, JsonError};
use crate::files::{self, Limit};
use gce_metadata_routes::{Metadata, MetadataError};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// A config file, and the overrides of its values.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    overrides: Overrides,
}

/// A config file, or a config in a text, can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The file is not JSON.
    #[error("{}:{line}:{column}: at {place}: {problem}", path.display())]
    Invalid {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// Path in the JSON: keys, and indices as `[0]`.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The file is JSON, but not the metadata of a VM.
    #[error("{}:{line}:{column}: at {error}", path.display())]
    NotMetadata {
        /// Path of the file.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column, counted from 1.
        column: usize,
        /// The problem, and its path in the JSON.
        error: MetadataError,
    },
}

impl ConfigFile {
    /// The config file at this path, with these overrides. It is read later.
    pub fn new(path: impl Into<PathBuf>, overrides: Overrides) -> Self {
        Self { path: path.into(), overrides }
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the metadata of the file, with the overrides.
    ///
    /// # Errors
    /// If the file can't be read or is invalid.
    pub fn load(&self) -> Result<Metadata, ConfigError> {
        self.parse(&self.read()?)
    }

    /// Reads the content of the file, up to its size limit.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(&self) -> Result<Vec<u8>, ConfigError> {
        files::read(&self.path, Limit::CONFIG)
            .map_err(|error| ConfigError::Unreadable { path: self.path.clone(), error })
    }

    /// Parses the content of the file into metadata, and applies the overrides.
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Metadata, ConfigError> {
        Ok(self.overrides.apply(parse_document(&self.path, bytes)?.metadata))
    }
}

impl ConfigDocument {
    /// Parses the text of a config that is not in a file, such as the value of an environment variable. Errors name `place` as the
    /// path of the file.
    ///
    /// ```
    /// # use gce_metadata_server::ConfigDocument;
    /// let error = ConfigDocument::from_text("VM_CONFIG", r#"{"instance": {"disks": 5}}"#).unwrap_err();
    /// assert_eq!(error.to_string(), "VM_CONFIG:1:24: at instance.disks: a list is expected, not a number");
    /// ```
    ///
    /// # Errors
    /// If the text is not JSON, or not the metadata of a VM.
    pub fn from_text(place: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        parse_document(place.as_ref(), text.as_bytes())
    }
}

fn parse_document(path: &Path, bytes: &[u8]) -> Result<ConfigDocument, ConfigError> {
    ConfigDocument::from_json(parse_json(path, bytes)?).map_err(|error| {
        let (line, column) = json::locate(bytes, error.path());
        ConfigError::NotMetadata { path: path.to_owned(), line, column, error }
    })
}

fn parse_json(path: &Path, bytes: &[u8]) -> Result<Value, ConfigError> {
    json::parse(bytes).map_err(|JsonError { line, column, place, problem }| ConfigError::Invalid {
        path: path.to_owned(),
        line,
        column,
        place,
        problem,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Metadata, String> {
        let file = ConfigFile::new("config.json", Overrides::default());
        file.parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_error_has_line_column_and_path() {
        assert_eq!(
            parse("{\"instance\": {\n  \"disks\": [{\"mode\": READ}]}}").unwrap_err(),
            "config.json:2:22: at instance.disks[0].mode: expected value"
        );
        assert_eq!(
            parse("{\n\"project\": {\"attributes\":\n [] }}").unwrap_err(),
            "config.json:3:2: at project.attributes: an object is expected, not a list"
        );
        assert!(parse("").unwrap_err().starts_with("config.json:1:0: at top level: EOF while parsing a value"));
        assert!(parse("{\"instance\": {}} {").unwrap_err().contains("trailing characters"));
        assert!(parse("{\"a\": 1}").unwrap_err().contains("neither a config"));
    }

    #[test]
    fn overrides_apply_to_every_load() {
        let overrides = Overrides { project_id: Some("another".into()), ..Overrides::default() };
        let metadata =
            ConfigFile::new("config.json", overrides).parse(br#"{"project": {"projectId": "one"}}"#).unwrap();
        assert_eq!(metadata.tree().text("project/project-id").unwrap(), "another");
        // Filled values contain the overridden project.
        assert_eq!(metadata.tree().text("instance/hostname").unwrap(), "vm-1.us-central1-a.c.another.internal");
    }

    #[test]
    fn a_byte_order_mark_is_allowed() {
        assert!(parse("\u{feff}{\"instance\": {}}").is_ok());
    }

    #[test]
    fn other_encodings_are_refused() {
        let file = ConfigFile::new("config.json", Overrides::default());
        let error = file.parse(b"{\n\"project\": {\"projectId\": \"caf\xe9\"}}").unwrap_err().to_string();
        assert_eq!(error, "config.json:2:30: at top level: the file is not UTF-8");
    }

    #[test]
    fn a_device_or_folder_is_not_read() {
        let error = ConfigFile::new("/dev/zero", Overrides::default()).read().unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: not a regular file");
        assert!(ConfigFile::new("/", Overrides::default()).read().is_err());
    }

    #[test]
    fn a_missing_file_is_an_error_with_its_path() {
        let error = ConfigFile::new("/nowhere/config.json", Overrides::default()).read().unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/config.json: No such file"), "{error}");
    }
}
