//! A finding of `doctor`: the problem, why it matters, and the remedy; as a line of text or as JSON.

use crate::cli::client::Client;
use crate::cli::shell::single_quoted;
use serde_json::{Value, json};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Ok,
    Warning,
    Error,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// `exec` is the alternative to most remedies, because it sets the whole environment.
pub(super) const EXEC: &str = "run the program with gce-metadata-server exec";

/// The result of a check.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    /// The problem, a colon, and why it matters.
    message: String,
    /// The clients that the finding concerns.
    pub(super) clients: &'static [Client],
    /// A command for a POSIX shell.
    remedy: Option<String>,
    /// Another remedy, in words.
    alternative: Option<String>,
}

impl Finding {
    fn new(severity: Severity, message: String, clients: &'static [Client]) -> Self {
        Self { severity, message, clients, remedy: None, alternative: None }
    }

    pub(super) fn ok(message: String, clients: &'static [Client]) -> Self {
        Self::new(Severity::Ok, message, clients)
    }

    pub(super) fn warning(message: impl Into<String>, clients: &'static [Client]) -> Self {
        Self::new(Severity::Warning, message.into(), clients)
    }

    pub(super) fn error(message: impl Into<String>, clients: &'static [Client]) -> Self {
        Self::new(Severity::Error, message.into(), clients)
    }

    /// Sets the remedy, a command for a POSIX shell.
    pub(super) fn remedy(self, command: impl Into<String>) -> Self {
        Self { remedy: Some(command.into()), ..self }
    }

    /// Sets another remedy, in words.
    pub(super) fn or(self, alternative: impl Into<String>) -> Self {
        Self { alternative: Some(alternative.into()), ..self }
    }

    /// The finding on one line. Line breaks and other control characters of file names are replaced.
    pub(super) fn line(&self, check: &str) -> String {
        let mut line = format!("{}: ", self.severity.name());
        if self.severity == Severity::Ok {
            line.push_str(&format!("{check}: "));
        }
        line.push_str(&self.message);
        let remedies: Vec<_> = [&self.remedy, &self.alternative].into_iter().flatten().map(String::as_str).collect();
        if !remedies.is_empty() {
            line.push_str(&format!("; remedy: {}", remedies.join(", or ")));
        }
        line.chars().map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect()
    }

    pub(super) fn json(&self, check: &str) -> Value {
        let Self { severity, message, clients, remedy, alternative } = self;
        let clients: Vec<_> = clients.iter().map(|client| client.id()).collect();
        json!({
            "severity": severity.name(),
            "check": check,
            "message": message,
            "clients": clients,
            "remedy": remedy,
            "alternative": alternative,
        })
    }
}

/// A value for a POSIX shell: as it is, or in quotes if a character could have a meaning for the shell.
pub(super) fn quoted(value: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:,@%+".contains(char);
    if !value.is_empty() && value.chars().all(is_plain) {
        return value.to_owned();
    }
    single_quoted(value)
}

/// The command that sets a variable.
pub(super) fn export(name: &str, value: &str) -> String {
    format!("export {name}={}", quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_its_remedies() {
        let finding = Finding::warning("a\nb: c", &[Client::Go]).remedy("unset A").or("unset B");
        assert_eq!(finding.line("group"), "warning: a\u{fffd}b: c; remedy: unset A, or unset B");
        assert_eq!(Finding::ok("fine".to_owned(), &[]).line("group"), "ok: group: fine");
        assert_eq!(finding.json("group")["clients"], json!(["go"]));
        assert_eq!(finding.json("group")["severity"], "warning");
    }

    #[test]
    fn values_are_quoted_for_a_shell() {
        for (value, expected) in
            [("127.0.0.1:8080", "127.0.0.1:8080"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("[::1]:80", "'[::1]:80'")]
        {
            assert_eq!(quoted(value), expected);
        }
    }
}
