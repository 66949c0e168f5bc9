//! The config file: from its bytes to metadata, or to an error that names the place.

use super::document::ConfigDocument;
use super::env::Overrides;
use super::json::{self, Mistake};
use crate::files::{self, Limit};
use gce_metadata_routes::{Metadata, MetadataError};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

/// A config file and what overrides its values.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    path: PathBuf,
    overrides: Overrides,
}

/// Why a config file can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It can't be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It isn't JSON.
    #[error("{}:{line}:{column}: at {place}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The place in the JSON: keys, and indices as `[0]`.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// It is JSON, but not a VM's metadata.
    #[error("{}:{line}:{column}: at {error}", path.display())]
    NotMetadata {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, and where in the JSON.
        error: MetadataError,
    },
}

impl ConfigFile {
    /// The file at this path.
    pub fn new(path: impl Into<PathBuf>, overrides: Overrides) -> Self {
        Self { path: path.into(), overrides }
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>, ConfigError> {
        files::read(&self.path, Limit::CONFIG)
            .map_err(|error| ConfigError::Unreadable { path: self.path.clone(), error })
    }

    /// Makes metadata of what was read.
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Metadata, ConfigError> {
        let document = ConfigDocument::from_json(self.json(bytes)?).map_err(|error| {
            let (line, column) = json::locate(bytes, error.path());
            ConfigError::NotMetadata { path: self.path.clone(), line, column, error }
        })?;
        Ok(self.overrides.apply(document.metadata))
    }

    /// Makes JSON of what was read.
    pub(super) fn json(&self, bytes: &[u8]) -> Result<Value, ConfigError> {
        json::parse(bytes).map_err(|Mistake { line, column, place, problem }| ConfigError::Invalid {
            path: self.path.clone(),
            line,
            column,
            place,
            problem,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Metadata, String> {
        let file = ConfigFile::new("config.json", Overrides::default());
        file.parse(json.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mistake_is_shown_in_the_file() {
        assert_eq!(
            parse("{\"instance\": {\n  \"disks\": [{\"mode\": READ}]}}").unwrap_err(),
            "config.json:2:22: at instance.disks[0].mode: expected value"
        );
        assert_eq!(
            parse("{\n\"project\": {\"attributes\":\n [] }}").unwrap_err(),
            "config.json:3:2: at project.attributes: an object is expected, not a list"
        );
        assert!(parse("").unwrap_err().starts_with("config.json:1:0: at .: EOF while parsing a value"));
        assert!(parse("{\"instance\": {}} {").unwrap_err().contains("trailing characters"));
        assert!(parse("{\"a\": 1}").unwrap_err().contains("neither a config"));
    }

    #[test]
    fn overrides_stand_over_every_load() {
        let overrides = Overrides { project_id: Some("another".into()), ..Overrides::default() };
        let metadata =
            ConfigFile::new("config.json", overrides).parse(br#"{"project": {"projectId": "one"}}"#).unwrap();
        assert_eq!(metadata.tree().text("project/project-id").unwrap(), "another");
    }

    #[test]
    fn a_byte_order_mark_is_no_mistake() {
        assert!(parse("\u{feff}{\"instance\": {}}").is_ok());
    }

    #[test]
    fn other_encodings_are_refused() {
        let file = ConfigFile::new("config.json", Overrides::default());
        let error = file.parse(b"{\n\"project\": {\"projectId\": \"caf\xe9\"}}").unwrap_err().to_string();
        assert_eq!(error, "config.json:2:30: at .: not UTF-8");
    }

    #[test]
    fn what_is_no_regular_file_is_not_read() {
        let error = ConfigFile::new("/dev/zero", Overrides::default()).read().unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: not a regular file");
        assert!(ConfigFile::new("/", Overrides::default()).read().is_err());
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = ConfigFile::new("/nowhere/config.json", Overrides::default()).read().unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/config.json: No such file"), "{error}");
    }
}
