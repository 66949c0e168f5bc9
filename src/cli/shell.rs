//! Quotes for a POSIX shell.

/// The value in single quotes, in which no character but the quote itself has a meaning.
pub(super) fn single_quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
