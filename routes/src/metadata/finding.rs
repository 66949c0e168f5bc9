//! What is to be said about a config: what keeps it from being served, and what GCE would not serve so.

/// Why JSON is no VM's metadata, and where.
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

    /// Where in the JSON: the keys that lead there, an index as `[0]`. Empty for the whole document.
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

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing: a key that GCE doesn't have.
    Notice,
    /// It is served as it stands, but GCE would not serve that.
    Warning,
    /// It can't be served at all.
    Error,
}

/// One thing to be said about a config, and where. It prints as its place and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    error: MetadataError,
}

impl Finding {
    pub(super) fn new(severity: Severity, path: &[String], problem: impl Into<String>) -> Self {
        Self { severity, error: MetadataError::new(path, problem) }
    }

    /// How much it matters.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Where in the JSON: the keys that lead there, an index as `[0]`. Empty for the whole document.
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
