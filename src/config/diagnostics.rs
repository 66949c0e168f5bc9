//! The diagnostics of a config file for `check-config`: errors, warnings and notices with line and column.

use super::document::ConfigDocument;
use super::duplicate_keys::duplicate_keys;
use super::file::{ConfigError, ConfigFile};
use super::json::{self, JsonError, utf8};
use super::locate::locate_all;
use gce_metadata_routes::Severity;
use std::fmt;
use std::path::PathBuf;

/// An error, a warning or a notice about a config file. It is displayed on one line, like the diagnostics of a compiler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Path of the file.
    pub path: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in bytes, counted from 1.
    pub column: usize,
    /// Severity: error, warning or notice.
    pub severity: Severity,
    /// Path in the JSON, a colon, and the message.
    pub text: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, severity, text } = self;
        let severity = match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Notice => "notice",
        };
        write!(f, "{}:{line}:{column}: {severity}: at {text}", path.display())
    }
}

impl ConfigFile {
    /// All diagnostics of the file, in the order of its lines.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn check(&self) -> Result<Vec<Diagnostic>, ConfigError> {
        Ok(self.check_content(&self.read()?))
    }

    /// All diagnostics of this content of the file, in the order of its lines.
    pub fn check_content(&self, bytes: &[u8]) -> Vec<Diagnostic> {
        let json = match json::parse(bytes) {
            Ok(json) => json,
            Err(JsonError { line, column, place, problem }) => {
                let (path, text) = (self.path().to_owned(), format!("{place}: {problem}"));
                // At the end of the file the parser is in column 0 of a line that does not exist.
                return vec![Diagnostic { path, line, column: column.max(1), severity: Severity::Error, text }];
            }
        };
        let text = utf8(bytes).unwrap_or_default();
        let found = ConfigDocument::check(json);
        let found = found.iter().map(|finding| (finding.severity(), finding.path().to_vec(), finding.to_string()));
        let duplicates = duplicate_keys(text).into_iter().map(|path| {
            let place = path.join(".").replace(".[", "[");
            let text = format!("{place}: duplicate key, only the last value is used: remove one of them");
            (Severity::Warning, path, text)
        });
        let all: Vec<_> = found.chain(duplicates).collect();
        let paths: Vec<_> = all.iter().map(|(_, path, _)| path.as_slice()).collect();
        let positions = locate_all(text, &paths);
        let mut diagnostics: Vec<_> = all
            .into_iter()
            .zip(positions)
            .map(|((severity, _, text), position)| {
                let (line, column) = position.unwrap_or((1, 1));
                Diagnostic { path: self.path().to_owned(), line, column, severity, text }
            })
            .collect();
        diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        diagnostics
    }

    /// Logs the number of warnings and notices of `check-config` for this content of the file, unless there are none.
    pub(crate) fn log_findings(&self, bytes: &[u8]) {
        let diagnostics = self.check_content(bytes);
        let count = |severity| diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        let (warnings, notices) = (count(Severity::Warning), count(Severity::Notice));
        let counted = [(warnings, "warning"), (notices, "notice")].into_iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, name)| format!("{count} {name}{}", if count == 1 { "" } else { "s" }));
        let counted = counted.collect::<Vec<_>>().join(", ");
        let path = self.path().display();
        match (warnings, notices) {
            (0, 0) => {}
            (0, _) => tracing::info!("{path}: {counted}: run check-config {path}"),
            _ => tracing::warn!("{path}: {counted}: run check-config {path}"),
        }
    }
}

/// The paths of duplicate keys in the content of a file: keys, and indices as `[0]`.
pub(crate) fn duplicate_keys_of(bytes: &[u8]) -> Vec<Vec<String>> {
    duplicate_keys(utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigFile, Overrides};

    fn check(json: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, json).unwrap();
        let name = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let diagnostics = ConfigFile::new(&file, Overrides::default()).check().unwrap();
        diagnostics.iter().map(|diagnostic| name(diagnostic.to_string())).collect()
    }

    #[test]
    fn diagnostics_are_sorted_by_line_and_column() {
        let json = "{\"project\": {\"projectId\": 5},\n \"instance\": {\"name\": \"vm-1\",\n  \"tags\": [],\n  \"disks\": {},\n  \"tags\": []}}";
        assert_eq!(
            check(json),
            [
                "config.json:1:27: warning: at project.projectId: expected a string, found `5`",
                "config.json:4:12: error: at instance.disks: a list is expected, not an object",
                "config.json:5:11: warning: at instance.tags: duplicate key, only the last value is used: remove one \
                 of them",
            ]
        );
    }

    #[test]
    fn the_log_has_one_line_with_the_number_of_findings() {
        let file = ConfigFile::new("vm.json", Overrides::default());
        let log = crate::captured_log::CapturedLog::start();
        for instance in [
            r#"{"name": "a", "preempted": true, "zone": "z", "odd": 1}"#,
            r#"{"name": "a", "odd": 1}"#,
            r#"{"name": "a"}"#,
        ] {
            file.log_findings(format!("{{\"instance\": {instance}}}").as_bytes());
        }
        let lines = log.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        let text = "vm.json: 2 warnings, 1 notice: run check-config vm.json";
        assert!(lines[0].contains(" WARN ") && lines[0].ends_with(text), "{lines:?}");
        let text = "vm.json: 1 notice: run check-config vm.json";
        assert!(lines[1].contains(" INFO ") && lines[1].ends_with(text), "{lines:?}");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(check("\u{feff}{\n\"instance\": 1}").len(), 1);
    }

    #[test]
    fn invalid_json_is_a_single_error() {
        assert_eq!(check("{\"instance\": ]"), ["config.json:1:14: error: at instance: expected value"]);
    }
}
