//! The formats of `env`: shells, and files that other tools read.

use crate::cli::client_env::{ClientEnvironment, empty_is_unset};
use crate::cli::shell::single_quoted;
use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The format of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// sh, bash, zsh
    Sh,
    Fish,
    Powershell,
    /// A file for `docker run --env-file`, docker compose and dotenv libraries
    Dotenv,
    /// Lines for the file in `GITHUB_ENV`
    Github,
    /// An object; null means that the variable must be unset
    Json,
}

/// The output, and notes for standard error.
pub(super) struct Rendered {
    pub(super) output: String,
    pub(super) notes: String,
}

impl Format {
    /// Renders the changes.
    ///
    /// # Errors
    /// If a value is not UTF-8, or has a line break, which half of the formats can't express.
    pub(super) fn render(self, changes: &ClientEnvironment) -> anyhow::Result<Rendered> {
        let mut lines = Vec::new();
        for (name, value) in changes.iter() {
            let value = value.map(|value| value.to_str().with_context(|| format!("{name}: not UTF-8"))).transpose()?;
            if value.is_some_and(|value| value.contains(['\n', '\r'])) {
                bail!("{name}: its value has a line break");
            }
            lines.push((name, value));
        }
        let mut rendered = Rendered { output: String::new(), notes: String::new() };
        match self {
            Self::Json => rendered.output = json(&lines),
            Self::Sh | Self::Fish | Self::Powershell => {
                rendered.output = lines.iter().map(|(name, value)| self.statement(name, *value) + "\n").collect();
            }
            Self::Dotenv | Self::Github => self.assignments(&lines, &mut rendered),
        }
        Ok(rendered)
    }

    /// The statement of a shell that sets or unsets a variable.
    fn statement(self, name: &str, value: Option<&str>) -> String {
        match (self, value) {
            (Self::Fish, Some(value)) => {
                format!("set -gx {name} '{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
            }
            (Self::Fish, None) => format!("set -e {name}"),
            (Self::Powershell, Some(value)) => format!("$env:{name} = '{}'", value.replace('\'', "''")),
            (Self::Powershell, None) => format!("Remove-Item -ErrorAction Ignore Env:{name}"),
            (_, Some(value)) => format!("export {name}={}", single_quoted(value)),
            (_, None) => format!("unset {name}"),
        }
    }

    /// Lines `NAME=VALUE`. These files can't unset a variable, so clients get an empty value where they take it as unset.
    fn assignments(self, lines: &[(&str, Option<&str>)], rendered: &mut Rendered) {
        let mut left = Vec::new();
        for (name, value) in lines {
            match value {
                Some(value) => _ = writeln!(rendered.output, "{name}={value}"),
                None if empty_is_unset(name) => _ = writeln!(rendered.output, "{name}="),
                None => left.push(*name),
            }
        }
        if left.is_empty() {
            return;
        }
        let note = format!("# These variables must not be set, and this format can't unset them: {}\n", left.join(" "));
        // The file in GITHUB_ENV can't have comments.
        let place = if self == Self::Github { &mut rendered.notes } else { &mut rendered.output };
        place.push_str(&note);
    }
}

fn json(lines: &[(&str, Option<&str>)]) -> String {
    let value = |value: &Option<&str>| value.map_or(Value::Null, Value::from);
    let object: Map<_, _> = lines.iter().map(|(name, it)| ((*name).to_owned(), value(it))).collect();
    format!("{:#}\n", Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(format: Format) -> Rendered {
        let mut changes = ClientEnvironment::default();
        changes.set("GCE_METADATA_HOST", Some("127.0.0.1:80".into()));
        changes.set("CLOUDSDK_CONFIG", Some("/tmp/it's a \\".into()));
        changes.set("NO_GCE_CHECK", None);
        changes.set("K_SERVICE", None);
        format.render(&changes).unwrap()
    }

    #[test]
    fn shells_quote_values_and_unset_variables() {
        for (format, expected) in [
            (
                Format::Sh,
                "export GCE_METADATA_HOST='127.0.0.1:80'\nexport CLOUDSDK_CONFIG='/tmp/it'\\''s a \\'\nunset NO_GCE_CHECK\n\
                 unset K_SERVICE\n",
            ),
            (
                Format::Fish,
                "set -gx GCE_METADATA_HOST '127.0.0.1:80'\nset -gx CLOUDSDK_CONFIG '/tmp/it\\'s a \\\\'\nset -e NO_GCE_CHECK\n\
                 set -e K_SERVICE\n",
            ),
            (
                Format::Powershell,
                "$env:GCE_METADATA_HOST = '127.0.0.1:80'\n$env:CLOUDSDK_CONFIG = '/tmp/it''s a \\'\n\
                 Remove-Item -ErrorAction Ignore Env:NO_GCE_CHECK\nRemove-Item -ErrorAction Ignore Env:K_SERVICE\n",
            ),
        ] {
            assert_eq!(render(format).output, expected, "{format:?}");
        }
    }

    #[test]
    fn files_have_an_empty_value_where_clients_take_it_as_unset_and_name_the_others() {
        let lines = "GCE_METADATA_HOST=127.0.0.1:80\nCLOUDSDK_CONFIG=/tmp/it's a \\\nNO_GCE_CHECK=\n";
        let note = "# These variables must not be set, and this format can't unset them: K_SERVICE\n";
        let dotenv = render(Format::Dotenv);
        assert_eq!((dotenv.output, dotenv.notes), (format!("{lines}{note}"), String::new()));
        let github = render(Format::Github);
        assert_eq!((github.output.as_str(), github.notes.as_str()), (lines, note));
    }

    #[test]
    fn json_has_null_for_variables_to_unset() {
        let object: Value = serde_json::from_str(&render(Format::Json).output).unwrap();
        assert_eq!(object["GCE_METADATA_HOST"], "127.0.0.1:80");
        assert_eq!(object["K_SERVICE"], Value::Null);
        assert_eq!(object.as_object().unwrap().len(), 4);
    }

    #[test]
    fn a_value_with_a_line_break_is_an_error_that_names_the_variable() {
        let mut changes = ClientEnvironment::default();
        changes.set("NO_PROXY", Some("a\nb".into()));
        assert_eq!(Format::Sh.render(&changes).err().unwrap().to_string(), "NO_PROXY: its value has a line break");
    }
}
