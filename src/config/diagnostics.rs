//! All findings in a config file, each with its line and column, for `check-config`.

use super::document::ConfigDocument;
use super::duplicate_keys::duplicate_keys;
use super::file::{ConfigError, ConfigFile};
use super::json::utf8;
use super::locate::locate_all;
use gce_metadata_routes::Severity;
use std::fmt;
use std::path::PathBuf;

/// A finding in a config file. It prints on one line, as a compiler's diagnostics do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in bytes.
    pub column: usize,
    /// How severe it is.
    pub severity: Severity,
    /// The place in the JSON and what is wrong there.
    pub text: String,
}

impl fmt::Display for Remark {
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
    /// All findings in the file, in the order of its lines.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn check(&self) -> Result<Vec<Remark>, ConfigError> {
        let bytes = self.read()?;
        let json = match self.json(&bytes) {
            Ok(json) => json,
            Err(ConfigError::Invalid { path, line, column, place, problem }) => {
                let text = format!("{place}: {problem}");
                return Ok(vec![Remark { path, line, column, severity: Severity::Error, text }]);
            }
            Err(other) => return Err(other),
        };
        let text = utf8(&bytes).unwrap_or_default();
        let found = ConfigDocument::check(json);
        let found = found.iter().map(|finding| (finding.severity(), finding.path().to_vec(), finding.to_string()));
        let duplicates = duplicate_keys(text).into_iter().map(|path| {
            let place = path.join(".").replace(".[", "[");
            let said = format!("{place}: the object has this key twice, and only the last one counts: remove one");
            (Severity::Warning, path, said)
        });
        let said: Vec<_> = found.chain(duplicates).collect();
        let places: Vec<_> = said.iter().map(|(_, path, _)| path.as_slice()).collect();
        let places = locate_all(text, &places);
        let mut remarks: Vec<_> = said
            .into_iter()
            .zip(places)
            .map(|((severity, _, text), place)| {
                let (line, column) = place.unwrap_or((1, 1));
                Remark { path: self.path().to_owned(), line, column, severity, text }
            })
            .collect();
        remarks.sort_by_key(|remark| (remark.line, remark.column));
        Ok(remarks)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{ConfigFile, Overrides};

    fn check(json: &str) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        std::fs::write(&file, json).unwrap();
        let name = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let remarks = ConfigFile::new(&file, Overrides::default()).check().unwrap();
        remarks.iter().map(|remark| name(remark.to_string())).collect()
    }

    #[test]
    fn remarks_stand_in_the_order_of_the_file() {
        let json =
            "{\"project\": {\"projectId\": 5},\n \"instance\": {\n  \"tags\": [],\n  \"disks\": {},\n  \"tags\": []}}";
        assert_eq!(
            check(json),
            [
                "config.json:1:27: warning: at project.projectId: `5` is no value of GCE's here, which has a string",
                "config.json:4:12: error: at instance.disks: a list is expected, not an object",
                "config.json:5:11: warning: at instance.tags: the object has this key twice, and only the last one counts: \
                 remove one",
            ]
        );
    }

    #[test]
    fn a_byte_order_mark_moves_no_line() {
        assert_eq!(check("\u{feff}{\n\"instance\": 1}").len(), 1);
    }

    #[test]
    fn what_is_no_json_is_one_error() {
        assert_eq!(check("{\"instance\": ]"), ["config.json:1:14: error: at instance: expected value"]);
    }
}
