//! Go's way with flags, so that command lines, Dockerfiles and manifests written for the Go emulator work as they stand.

use super::Args;
use clap::CommandFactory;
use std::ffi::OsString;

/// Doubles the dash of long options that have a single one, and leaves out those with an empty value, which in Go is as
/// good as none: manifests are full of `--domainsocket=$NOT_SET`.
pub(crate) fn normalized(args: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let command = Args::command();
    let mut args = args.peekable();
    let mut normalized: Vec<OsString> = args.next().into_iter().collect();
    while let Some(arg) = args.next() {
        if arg == "--" {
            normalized.push(arg);
            normalized.extend(args);
            break;
        }
        let arg = doubled(&command, arg);
        let next_is_empty = args.peek().is_some_and(|next| next.is_empty());
        match arg.to_str().and_then(|text| text.strip_prefix("--")) {
            Some(option) if option.strip_suffix('=').is_some_and(|name| goes_if_empty(&command, name)) => {}
            Some(option) if next_is_empty && goes_if_empty(&command, option) => _ = args.next(),
            _ => normalized.push(arg),
        }
    }
    normalized
}

/// An empty interface is not none, but all of them; an allow-list without a name must not let in everybody; and what is no option
/// is to be told.
fn goes_if_empty(command: &clap::Command, option: &str) -> bool {
    let keeps = option.to_ascii_lowercase().ends_with("interface") || option == "mtls-allow";
    !keeps && is_known(command, option)
}

fn is_known(command: &clap::Command, option: &str) -> bool {
    command.get_arguments().any(|known| is_called(known, option))
        || command.get_subcommands().any(|command| is_known(command, option))
}

fn is_called(option: &clap::Arg, name: &str) -> bool {
    option.get_long() == Some(name) || option.get_all_aliases().unwrap_or_default().contains(&name)
}

fn doubled(command: &clap::Command, arg: OsString) -> OsString {
    let Some(text) = arg.to_str() else { return arg };
    let Some(name) = text.strip_prefix('-').filter(|name| !name.is_empty() && !name.starts_with('-')) else {
        return arg;
    };
    let bare = name.split('=').next().unwrap_or(name);
    let has_letter = |known: &clap::Arg| known.get_short().is_some_and(|letter| name.starts_with(letter));
    let is_short = command.get_arguments().any(has_letter);
    let is_long = bare.len() > 1 && (command.get_arguments().any(|known| is_called(known, bare)) || !is_short);
    if is_long { format!("-{text}").into() } else { arg }
}

/// What is wrong with the options, and what may have been meant, without the usage.
pub(crate) fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let told: Vec<_> = lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    // What is listed stands on lines of its own.
    let told = told.join("; ").replace(":; ", ": ");
    format!("{} (see --help)", told.trim_start_matches("error: "))
}
