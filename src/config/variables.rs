//! All environment variables of this process, for commands that pass them on to a child process or check them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

/// Environment variables by their names. The `Debug` text has the names only, because values may be secrets.
#[derive(Clone, Default)]
pub struct Variables(HashMap<OsString, OsString>);

impl Variables {
    /// Those of this process.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn read() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable; `None` if it is not set. An empty value is a value.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// These variables with other values for some.
    #[must_use]
    pub fn with(mut self, changes: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        self.0.extend(changes);
        self
    }

    /// The value of a variable as text, with `U+FFFD` for bytes that are not UTF-8.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|value| value.to_string_lossy().into_owned())
    }
}

impl FromIterator<(OsString, OsString)> for Variables {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Self {
        Self(variables.into_iter().collect())
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_values() {
        let variables: Variables = [("GOOGLE_ACCESS_TOKEN".into(), "ya29.made-up".into())].into_iter().collect();
        assert_eq!(format!("{variables:?}"), "{\"GOOGLE_ACCESS_TOKEN\"}");
        assert_eq!(variables.text("GOOGLE_ACCESS_TOKEN").unwrap(), "ya29.made-up");
    }
}
