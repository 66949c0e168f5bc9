//! Errors of the command line on one line, without clap's usage.

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The first characters of JSON Web Tokens (`{"` in base64) and of Google's access tokens.
const TOKEN_PREFIXES: [&str; 2] = ["eyJ", "ya29."];

/// An error of the command line that is found after parsing.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Clap's error and suggestion on one line. For an unknown command, the available commands are listed.
pub(super) fn one_line(program: &Command, error: &clap::Error) -> String {
    let text = error.to_string();
    let command = command_of(program, &text);
    let commands = command.get_subcommands().map(Command::get_name).collect::<Vec<_>>().join(", ");
    let problem = match unknown_word(command, error) {
        Some(word) if !commands.is_empty() => format!("unexpected argument '{word}'; commands are {commands}"),
        Some(word) if command.get_name() == "exec" => {
            format!("unexpected argument '{word}'; put -- before the command: exec [OPTIONS] -- {word}")
        }
        _ => misplaced_options(error).or_else(|| unused_tpm(error)).unwrap_or_else(|| without_usage(&text)),
    };
    format!("{} (see --help)", without_tokens(&problem))
}

/// Replaces tokens, so that an error does not print a secret that was given in the wrong place.
fn without_tokens(text: &str) -> String {
    let is_token_character = |character: char| character.is_ascii_alphanumeric() || "-_.=~+/".contains(character);
    let mut redacted = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = TOKEN_PREFIXES.iter().filter_map(|prefix| rest.find(prefix)).min() {
        redacted.push_str(&rest[..start]);
        redacted.push_str("TOKEN");
        rest = rest[start..].trim_start_matches(is_token_character);
    }
    redacted + rest
}

/// The command whose usage clap printed below the error.
fn command_of<'a>(program: &'a Command, text: &str) -> &'a Command {
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
    usage.split(' ').skip(1).map_while(|word| program.find_subcommand(word)).last().unwrap_or(program)
}

/// An argument that is neither an option nor a command.
fn unknown_word<'a>(command: &Command, error: &'a clap::Error) -> Option<&'a str> {
    let word = match error.kind() {
        ErrorKind::InvalidSubcommand | ErrorKind::ArgumentConflict => string(error, ContextKind::InvalidSubcommand),
        ErrorKind::UnknownArgument => string(error, ContextKind::InvalidArg),
        _ => None,
    };
    word.filter(|word| !word.starts_with('-') && command.find_subcommand(word).is_none())
}

/// The error for options of the default command before another command.
fn misplaced_options(error: &clap::Error) -> Option<String> {
    let command = string(error, ContextKind::InvalidSubcommand)?;
    let options = match error.get(ContextKind::PriorArg)? {
        ContextValue::String(option) => vec![option.as_str()],
        ContextValue::Strings(options) => options.iter().map(String::as_str).collect(),
        _ => return None,
    };
    let be = if options.len() == 1 { "is" } else { "are" };
    Some(format!("options go after the command: '{}' {be} before '{command}'", options.join("', '")))
}

/// The error for options about the TPM without an option that uses the TPM. Clap says that a required argument is missing.
fn unused_tpm(error: &clap::Error) -> Option<String> {
    let ContextValue::Strings(missing) = error.get(ContextKind::InvalidArg)? else { return None };
    let is_user =
        error.kind() == ErrorKind::MissingRequiredArgument && missing.iter().any(|arg| arg.contains("--tpm["));
    is_user.then(|| {
        "--tpm-path, --parent-pass and --parent-pass-file do nothing without --tpm, --credentials or --mds-mtls-dir"
            .to_owned()
    })
}

fn string(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Removes clap's usage and its hint at `--help`.
fn without_usage(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let problem: Vec<_> =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    // Clap prints each name of a list on a separate line.
    problem.join("; ").replace(":; ", ": ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_replaced() {
        for (text, expected) in [
            ("unexpected argument 'eyJhbGciOiJS.eyJ_-w.c2ln' found", "unexpected argument 'TOKEN' found"),
            ("'ya29.c.made-up' and 'Bearer eyJ.a.b'", "'TOKEN' and 'Bearer TOKEN'"),
            ("unexpected argument '--prot'", "unexpected argument '--prot'"),
        ] {
            assert_eq!(without_tokens(text), expected);
        }
    }
}
