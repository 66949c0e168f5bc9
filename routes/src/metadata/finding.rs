//! Findings in a config: errors, warnings and notices, with the path of the value.

/// Why JSON can't be read as the metadata of a VM, with the path of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", display(path))]
pub struct MetadataError {
    path: Vec<String>,
    problem: String,
}

impl MetadataError {
    pub(crate) fn new(path: &[String], problem: impl Into<String>) -> Self {
        Self { path: path.to_vec(), problem: problem.into() }
    }

    /// The path in the JSON: keys, and indices as `[0]`. Empty for the whole document.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    pub(crate) fn problem(&self) -> &str {
        &self.problem
    }
}

/// The path in jq's notation without the first dot: `instance.disks[0].mode`.
fn display(path: &[String]) -> String {
    if path.is_empty() { "top level".to_owned() } else { path.join(".").replace(".[", "[") }
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A key that GCE is not known to have, or a value that is ignored.
    Notice,
    /// The value is served, but GCE would not serve it.
    Warning,
    /// The config can't be served.
    Error,
}

/// A finding in a config. It prints as the path and the problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    error: MetadataError,
}

impl Finding {
    pub(super) fn new(severity: Severity, path: &[String], problem: impl Into<String>) -> Self {
        Self { severity, error: MetadataError::new(path, problem) }
    }

    /// The severity.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The path in the JSON: keys, and indices as `[0]`. Empty for the whole document.
    pub fn path(&self) -> &[String] {
        self.error.path()
    }

    pub(super) fn into_error(self) -> Option<MetadataError> {
        (self.severity == Severity::Error).then_some(self.error)
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}
