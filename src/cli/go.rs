//! The syntax of Go's flags, so that command lines, Dockerfiles and manifests for the Go emulator work unchanged.

use clap::builder::BoolishValueParser;
use clap::{Arg, ArgAction};
use std::ffi::OsString;

/// Lets a boolean flag take a value, as Go's flags do: `--tpm`, `--tpm=true`, `--tpm=false`. Other arguments are left unchanged.
/// Applied to every argument, so that a `bool` field needs `#[arg(long)]` only.
pub(super) fn bool_flag(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .hide_default_value(true)
        .hide_possible_values(true)
        .value_name("BOOL")
        .value_parser(BoolishValueParser::new())
}

/// Translates Go's syntax to clap's: adds the second dash to long options with a single one, and removes options with an empty
/// value. Go treats these as unset, and manifests rely on it: `--domainsocket=$NOT_SET`.
pub(super) fn normalized(command: &clap::Command, args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut args = args.peekable();
    let mut normalized: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        if arg == "--" {
            normalized.push(arg);
            normalized.extend(args);
            break;
        }
        let arg = with_two_dashes(command, arg);
        let next_is_empty = args.peek().is_some_and(|next| next.is_empty());
        match arg.to_str().and_then(|text| text.strip_prefix("--")) {
            Some(option) if option.strip_suffix('=').is_some_and(|name| is_unset_if_empty(command, name)) => {}
            Some(option) if next_is_empty && is_unset_if_empty(command, option) => _ = args.next(),
            _ => normalized.push(arg),
        }
    }
    normalized
}

/// Whether an empty value means that the option is unset. An empty interface means all interfaces, an empty `--mtls-allow` must
/// not allow every client, an empty `--if-match` must not remove the condition, and an unknown option must reach the parser, which
/// reports it.
fn is_unset_if_empty(command: &clap::Command, option: &str) -> bool {
    let empty_has_meaning =
        option.to_ascii_lowercase().ends_with("interface") || ["mtls-allow", "if-match"].contains(&option);
    !empty_has_meaning && is_known(command, option)
}

fn is_known(command: &clap::Command, option: &str) -> bool {
    command.get_arguments().any(|known| is_called(known, option))
        || command.get_subcommands().any(|command| is_known(command, option))
}

fn is_called(option: &clap::Arg, name: &str) -> bool {
    option.get_long() == Some(name) || option.get_all_aliases().unwrap_or_default().contains(&name)
}

/// The argument with two dashes, if it is a long option with one.
fn with_two_dashes(command: &clap::Command, arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else { return arg };
    let Some(name) = text.strip_prefix('-').filter(|name| !name.is_empty() && !name.starts_with('-')) else {
        return arg;
    };
    let bare = name.split('=').next().unwrap_or(name);
    // A negative number is the value of the option before it.
    if bare.bytes().all(|byte| byte.is_ascii_digit()) {
        return arg;
    }
    let has_letter = |known: &clap::Arg| known.get_short().is_some_and(|letter| name.starts_with(letter));
    let is_short = command.get_arguments().any(has_letter);
    let is_long = bare.len() > 1 && (command.get_arguments().any(|known| is_called(known, bare)) || !is_short);
    if is_long { format!("-{text}").into() } else { arg }
}
